"""Sandboxes for MCP clients over HTTP: the tools, the keys, and what is refused."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import httpx2
import pytest
from mcp import MCPError
from mcp_types import InputRequiredResult

from agent_kernel.keys import KeyLimits
from tests.mcp_server.conftest import MODES, Person, Serve, client_of, container, pictures, text

pytestmark = pytest.mark.bubblewrap


@pytest.mark.parametrize("mode", MODES)
async def test_client_runs_commands_and_python(serve: Serve, mode: str) -> None:
    notes: list[tuple[float, str | None]] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        notes.append((progress, message))

    async with serve() as served, client_of(served.url, mode=mode) as client:
        box = await container(client)
        in_box = {"container_id": box}
        ran = await client.call_tool(
            "run_command", {**in_box, "command": "cd /tmp; echo one; echo two >&2; exit 3"}
        )
        assert (ran.is_error, text(ran)) == (True, "one\ntwo\n[exit code 3]")
        live = await client.call_tool(
            "run_command", {**in_box, "command": "pwd; echo live"}, progress_callback=progress
        )
        assert text(live) == "/tmp\nlive\n[exit code 0]"
        await client.call_tool("run_python", {**in_box, "code": "x = 20"})
        shown = await client.call_tool("run_python", {**in_box, "code": "x + 1"}, progress_callback=progress)
        drawn = await client.call_tool(
            "run_python", {**in_box, "code": "import matplotlib.pyplot as p; p.plot([1]); p.show()"}
        )
        deleted = await client.call_tool("delete_container", in_box)
        left = (await served.runtime.containers.list()).data
    assert "live" in "".join(message or "" for _, message in notes)
    assert all(done > 0 for done, _ in notes)
    assert text(shown) == "21\n"
    assert [each.mime_type for each in pictures(drawn)] == ["image/png"]
    assert deleted.structured_content == {"id": box, "deleted": True}
    assert [each.status for each in left] == []


@pytest.mark.parametrize("mode", MODES)
async def test_command_ends_with_its_time_or_its_call(serve: Serve, mode: str) -> None:
    begun = asyncio.Event()

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        begun.set()

    async with serve() as served, client_of(served.url, mode=mode) as client:
        in_box = {"container_id": await container(client)}
        late = await client.call_tool(
            "run_command", {**in_box, "command": "echo begun; sleep 1000", "timeout_seconds": 0.5}
        )
        arguments = {**in_box, "command": "echo begun; sleep 1000; touch f"}
        calling = asyncio.create_task(client.call_tool("run_command", arguments, progress_callback=progress))
        await begun.wait()
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        after = await client.call_tool("run_command", {**in_box, "command": "pgrep -c sleep; ls"})
    assert late.is_error
    assert text(late).startswith("begun\n")
    assert "agent_kernel.max_seconds" in text(late)
    assert text(after).splitlines()[0] == "0"
    assert "f" not in text(after).splitlines()


async def test_client_writes_and_reads_files(serve: Serve) -> None:
    async with serve() as served, client_of(served.url) as client:
        box = await container(client, name="files", memory_limit="1g")
        in_box = {"container_id": box}

        async def read(path: str, **more: Any) -> Any:
            return await client.call_tool("read_file", {**in_box, "path": path, **more})

        async def write(path: str, content: str, **more: Any) -> Any:
            arguments = {**in_box, "path": path, "content": content, **more}
            return await client.call_tool("write_file", arguments)

        wrote = await write("a/b.txt", "grüße")
        await write("c.bin", base64.b64encode(b"\0\1").decode(), encoding="base64")
        broken, outside = await write("d", "!", encoding="base64"), await write("/etc/passwd", "x")
        await client.call_tool("run_command", {**in_box, "command": "yes äb | head -c 2000000 > long.txt"})
        listed = (await client.call_tool("list_files", in_box)).structured_content
        as_text, rest = await read("a/b.txt"), await read("/mnt/data/a/b.txt", offset=3)
        binary, missing = await read("c.bin"), await read("no")
        long, end = await read("long.txt"), await read("long.txt", offset=1 << 20)
    assert wrote.structured_content == {"path": "/mnt/data/a/b.txt", "bytes": 7}
    assert broken.is_error
    assert "content is not valid base64." in text(broken)
    assert outside.is_error
    assert "/mnt/data" in text(outside)
    assert listed is not None
    assert {each["path"]: each["bytes"] for each in listed["files"]} == {
        "/mnt/data/a/b.txt": 7,
        "/mnt/data/c.bin": 2,
        "/mnt/data/long.txt": 2_000_000,
    }
    assert (text(as_text), text(rest)) == ("grüße", "ße")
    assert binary.content[0].resource.blob == base64.b64encode(b"\0\1").decode()
    assert missing.is_error
    assert "no file /mnt/data/no" in text(missing)
    assert "read from offset 1048576" in text(long)
    assert "offset" not in text(end)


async def test_client_goes_back_to_a_snapshot(serve: Serve) -> None:
    async with serve() as served, client_of(served.url) as client:
        box = await container(client)
        in_box = {"container_id": box}
        await client.call_tool("run_command", {**in_box, "command": "echo before > f"})
        kept = (await client.call_tool("make_snapshot", {**in_box, "name": "one"})).structured_content
        assert kept is not None
        await client.call_tool("run_command", {**in_box, "command": "echo after > f"})
        listed = (await client.call_tool("list_snapshots", in_box)).structured_content
        assert listed is not None
        snapshot = {**in_box, "snapshot_id": kept["id"]}
        back = (await client.call_tool("restore_snapshot", snapshot)).structured_content
        found = await client.call_tool("run_command", {**in_box, "command": "cat f"})
        gone = await client.call_tool("delete_snapshot", snapshot)
        again = await client.call_tool("restore_snapshot", snapshot)
    assert [each["name"] for each in listed["snapshots"]] == ["one"]
    assert back is not None
    assert back["id"] == box
    assert text(found) == "before\n[exit code 0]"
    assert not gone.is_error
    assert again.is_error


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("run", [True, False, pytest.param(None, marks=pytest.mark.slow)])
async def test_policy_that_asks_is_an_elicitation(serve: Serve, mode: str, run: bool | None) -> None:
    person = Person(run)
    async with (
        serve() as served,
        client_of(served.url, mode=mode, elicitation_callback=person.asked) as client,
    ):
        in_box = {"container_id": await container(client)}
        await client.call_tool("run_command", {**in_box, "command": "touch f"})
        await client.call_tool("run_command", {**in_box, "command": "rm f\u202e"})
        asked = await client.call_tool("run_command", {**in_box, "command": "rm f; echo done"})
        seen = await client.call_tool("run_command", {**in_box, "command": "ls"})
        approvals = [each["approved"] for each in served.audited("approval")]
    assert len(person.questions) == 2
    assert "rm f\\u202e" in person.questions[0]
    assert "rm f; echo done" in person.questions[1]
    assert approvals == [bool(run)] * 2
    assert ("f" in text(seen).split()) is not bool(run)
    assert ("done" in text(asked)) is bool(run)
    assert asked.is_error is not bool(run)


@pytest.mark.parametrize("mode", MODES)
async def test_client_that_cannot_ask_is_told_why(serve: Serve, mode: str) -> None:
    async with serve() as served, client_of(served.url, mode=mode) as client:
        in_box = {"container_id": await container(client)}
        asked = await client.call_tool("run_command", {**in_box, "command": "rm -r /mnt/data"})
        denied = await client.call_tool("run_command", {**in_box, "command": "curl x"})
        approvals = [each["approved"] for each in served.audited("approval")]
    assert asked.is_error
    assert "this MCP client cannot ask" in text(asked)
    assert denied.is_error
    assert "The policy denies" in text(denied)
    assert approvals == [False]


async def test_answer_of_another_call_runs_nothing(serve: Serve) -> None:
    person = Person(True)
    async with (
        serve() as served,
        client_of(served.url, elicitation_callback=person.asked) as client,
    ):
        in_box = {"container_id": await container(client)}
        call = {**in_box, "command": "rm x; echo ran"}
        first = await client.session.call_tool("run_command", call, allow_input_required=True)
        assert isinstance(first, InputRequiredResult)
        state = first.request_state
        answers: Any = {"approval": {"action": "accept", "content": {"run": True}}}
        forged = {**call, "command": "rm -r /; echo ran"}
        for arguments, given in ((forged, state), (call, f"{state}x")):
            with pytest.raises(MCPError):
                await client.session.call_tool(
                    "run_command", arguments, input_responses=answers, request_state=given
                )
        ran = await client.session.call_tool(
            "run_command", call, input_responses=answers, request_state=state
        )
        twice = await client.session.call_tool(
            "run_command", call, input_responses=answers, request_state=state
        )
    assert "ran" in text(ran)
    assert twice.is_error
    assert "[exit code" not in text(twice)


async def test_keys_see_only_their_own_containers(serve: Serve) -> None:
    async with serve("sk-own") as served:
        amy = await served.runtime.keys.create("amy", KeyLimits(containers=1))
        bob = await served.runtime.keys.create("bob", KeyLimits())
        async with client_of(served.url, amy) as a, client_of(served.url, bob, mode="legacy") as b:
            box = await container(a)
            over = await a.call_tool("create_container", {})
            others = (await b.call_tool("list_containers", {})).structured_content
            taken = await b.call_tool("run_command", {"container_id": box, "command": "id"})
            mine = (await a.call_tool("list_containers", {})).structured_content
            await a.call_tool("delete_container", {"container_id": box})
    assert others is not None
    assert others["containers"] == []
    assert taken.is_error
    assert box in text(taken)
    assert mine is not None
    assert [each["id"] for each in mine["containers"]] == [box]
    assert over.is_error
    assert "This key allows one container" in text(over)


INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    },
}
ACCEPT = {"Accept": "application/json, text/event-stream"}


async def test_session_belongs_to_the_key_that_opened_it(serve: Serve) -> None:
    async with serve("sk-own") as served, httpx2.AsyncClient() as http:
        amy, bob = [await served.runtime.keys.create(name, KeyLimits()) for name in ("amy", "bob")]
        of = {
            name: {**ACCEPT, "Authorization": f"Bearer {key}"} for name, key in (("amy", amy), ("bob", bob))
        }
        opened = await http.post(served.url, json=INITIALIZE, headers=of["amy"])
        session = {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
        listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        answers = [
            await http.post(served.url, json=listing, headers={**of[name], **session})
            for name in ("bob", "amy")
        ]
    assert [each.status_code for each in answers] == [404, 200]


@pytest.mark.parametrize(
    ("key", "headers", "status"),
    [
        ("sk-own", {}, 401),
        ("sk-own", {"Authorization": "Bearer wrong"}, 401),
        ("sk-own", {"Authorization": "Bearer sk-own", "Origin": "https://evil.example"}, 403),
        (None, {"Host": "evil.example"}, 403),
        (None, {"Origin": "https://evil.example"}, 403),
        (None, {"Origin": "http://localhost:1"}, 403),
        (None, {}, 200),
    ],
)
async def test_requests_from_elsewhere_are_refused(
    serve: Serve, key: str | None, headers: dict[str, str], status: int
) -> None:
    async with serve(key) as served, httpx2.AsyncClient() as http:
        answer = await http.post(served.url, json=INITIALIZE, headers={**ACCEPT, **headers})
    assert answer.status_code == status, answer.text


async def test_every_tool_is_described(serve: Serve) -> None:
    async with serve() as served, client_of(served.url) as client:
        tools = (await client.list_tools()).tools
    assert len(tools) == 12
    for tool in tools:
        assert tool.description, tool.name
        assert tool.annotations, tool.name
        assert "call" not in tool.input_schema["properties"]


async def test_wrong_arguments_are_told(serve: Serve) -> None:
    async with serve() as served, client_of(served.url) as client:
        wrong = [
            await client.call_tool("run_command", {"container_id": "cntr_no", "command": "id"}),
            await client.call_tool("run_command", {"container_id": 7}),
            await client.call_tool("create_container", {"allowed_domains": ["bad host"]}),
        ]
    assert all(each.is_error for each in wrong), [text(each) for each in wrong]
