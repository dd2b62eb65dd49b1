"""MCP servers that fail, lie, or are not allowed."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.tools.mcp.results import is_deep
from agent_kernel.tools.request import read_tools
from tests.runtime.played import Upstream, call
from tests.tools.mcp.conftest import Make, loopback
from tests.tools.mcp.served import Called, plain, served
from tests.tools.mcp.test_turns import entry, events_of, outputs

SECRET = "hunter2"

pytestmark = [pytest.mark.bubblewrap, pytest.mark.shown_on()]


def files_below(folder: Path) -> list[bytes]:
    """What all files have."""
    return [each.read_bytes() for each in folder.rglob("*") if each.is_file()]


def answering(results: dict[str, Any], padding: str = "") -> Any:
    """An app that speaks JSON-RPC without checking anything."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                event = (await receive())["type"]
                await send({"type": f"{event}.complete"})
                if event.endswith("shutdown"):
                    return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        asked = json.loads(body) if body else {}
        result = results.get(str(asked.get("method")), {})
        if callable(result):
            result = result(asked)
        answer = {"jsonrpc": "2.0", "id": asked.get("id"), "result": result}
        if asked.get("method") == "server/discover":
            answer = {"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32601, "message": "no"}}
        sent = json.dumps(answer).encode() + padding.encode()
        status = 202 if "id" not in asked else 200
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": sent if status == 200 else b""})

    return app


def hostile(tools: Any, **more: Any) -> dict[str, Any]:
    """What a server with these tools answers."""
    begun = {
        "protocolVersion": "2025-06-18",
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "x", "version": "1"},
    }
    return {"initialize": begun, "tools/list": {"tools": tools}, **more}


async def test_a_server_that_cannot_be_listed(
    runtime: Make, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with (
        served(plain(lambda _: (401, {}, b"go away"))) as url,
        runtime(turn_settings=loopback(url)) as running,
    ):
        tool = entry(f"{url}/{SECRET}/mcp", authorization=SECRET, headers={"X-Key": SECRET})
        events = await events_of(running, "hi", tool)
        row = await running.retrieve(events[-1]["response"]["id"])
    kinds = [each["type"] for each in events]
    assert kinds[2:] == [
        "response.output_item.added",
        "response.mcp_list_tools.in_progress",
        "response.mcp_list_tools.failed",
        "response.output_item.done",
        "error",
        "response.failed",
    ]
    error = next(each for each in events if each["type"] == "error")
    assert error["error"] == {
        "type": "external_connector_error",
        "code": "http_error",
        "param": "tools",
        "message": "Error retrieving tool list from MCP server: 'calc'. It answered with HTTP status 401.",
    }
    assert outputs(events)[0]["error"] == "It answered with HTTP status 401."
    shown = events[-1]["response"]["tools"][0]
    assert (shown["server_url"], shown["headers"], shown["authorization"]) == (
        f"{url}/<redacted>",
        None,
        "<redacted>",
    )
    ours = [each.getMessage() for each in caplog.records if each.name.startswith("agent_kernel")]
    assert SECRET not in json.dumps(events) + str(row) + str(ours)


async def test_credentials_are_sent_and_kept_nowhere(
    runtime: Make, upstream: Upstream, calc: str, called: Called, tmp_path: Path
) -> None:
    upstream.says(call(0, "calc__add", {"a": 1, "b": 2}), finish="tool_calls")
    upstream.says({"content": "3"})
    async with runtime(turn_settings=loopback(calc)) as running:
        tool = entry(f"{calc}/mcp", authorization=SECRET, headers={"X-Key": SECRET})
        events = await events_of(running, "add", tool)
    assert {each.get("authorization") for each in called.headers} == {f"Bearer {SECRET}"}
    assert {each.get("x-key") for each in called.headers} == {SECRET}
    assert SECRET not in json.dumps(events) + json.dumps(upstream.requests)
    assert not [each for each in files_below(tmp_path) if SECRET.encode() in each]


async def test_a_redirect_gets_no_credentials(runtime: Make, upstream: Upstream, called: Called) -> None:
    seen: list[Any] = []

    def note(scope: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        seen.append(scope)
        return 200, {}, b"{}"

    async with served(plain(note)) as other:
        away = plain(lambda _: (307, {"location": f"{other}/mcp"}, b""))
        async with served(away) as url, runtime(turn_settings=loopback(url, other)) as running:
            events = await events_of(running, "hi", entry(f"{url}/mcp", authorization=SECRET))
    assert events[-1]["type"] == "response.failed"
    assert seen == []


@pytest.mark.parametrize("allowed", ["", "*", "mcp.example.com"])
async def test_a_private_server_is_refused(
    runtime: Make, upstream: Upstream, calc: str, called: Called, allowed: str
) -> None:
    from agent_kernel.runtime.turns.settings import TurnSettings
    from agent_kernel.tools.mcp.servers import McpLimits
    from agent_kernel.tools.outbound import AllowedHosts

    hosts = AllowedHosts.parse([allowed], param="hosts") if allowed else AllowedHosts()
    settings = TurnSettings(tools={"mcp": McpLimits(hosts)})
    async with runtime(turn_settings=settings) as running:
        if allowed == "*":  # the name is not refused, its address is
            events = await events_of(running, "hi", entry(f"{calc}/mcp"))
            assert "loopback address" in outputs(events)[0]["error"]
        else:
            with pytest.raises(InvalidRequest, match="allows no MCP server"):
                await events_of(running, "hi", entry(f"{calc}/mcp"))
    assert called.headers == []


async def test_2000_tools_are_too_many_unless_chosen(runtime: Make, upstream: Upstream) -> None:
    schema = {"type": "object", "properties": {}}
    many = [{"name": f"t{n}", "inputSchema": schema} for n in range(2000)]
    async with served(answering(hostile(many))) as url, runtime(turn_settings=loopback(url)) as running:
        events = await events_of(running, "hi", entry(f"{url}/mcp"))
        assert "2000 tools" in events[-1]["response"]["error"]["message"]
        upstream.says({"content": "ok"})
        events = await events_of(running, "hi", entry(f"{url}/mcp", allowed_tools=["t7"]))
    assert [each["function"]["name"] for each in upstream.requests[0]["tools"]] == ["calc__t7"]


async def test_hostile_lists_end_the_turn_or_lose_a_tool(runtime: Make, upstream: Upstream) -> None:
    deep: Any = {}
    for _ in range(400):
        deep = {"a": deep}
    good = {"name": "good", "inputSchema": {"type": "object"}}
    odd = {"name": "odd\nname", "inputSchema": {"type": "object"}}
    deeper = {"name": "deep", "inputSchema": {"type": "object", "properties": deep}}
    big = {"name": "big", "inputSchema": {"type": "object", "description": "x" * 100_000}}
    upstream.says({"content": "ok"})
    listing = answering(hostile([good, odd, big]))
    async with served(listing) as url, runtime(turn_settings=loopback(url)) as running:
        events = await events_of(running, "hi", entry(f"{url}/mcp"))
    assert [tool["name"] for tool in outputs(events)[0]["tools"]] == ["good"]
    endless = {"tools": [good], "nextCursor": "again"}
    for results, padding in (
        (hostile([deeper]), ""),
        (hostile("none"), ""),
        ({**hostile([]), "tools/list": endless}, ""),
        (hostile([good]), " " * (33 << 20)),
    ):
        app = answering(results, padding)
        async with served(app) as url, runtime(turn_settings=loopback(url)) as running:
            events = await events_of(running, "hi", entry(f"{url}/mcp"))
        ended = events[-1]["type"]
        assert ended == "response.failed" or outputs(events)[0]["tools"] == []


async def test_a_server_that_never_answers_a_call(
    runtime: Make, upstream: Upstream, calc: str, called: Called
) -> None:
    upstream.says(call(0, "calc__hangs", {}), finish="tool_calls")
    upstream.says({"content": "It hangs."})
    async with runtime(turn_settings=loopback(calc, call=0.5)) as running:
        events = await events_of(running, "go", entry(f"{calc}/mcp"))
    made = outputs(events)[1]
    assert (made["status"], made["error"]["type"]) == ("failed", "mcp_protocol_error")
    assert "0.5 seconds" in made["error"]["message"]
    await called.cancelled.wait()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"server_label": "a b"}, "server_label"),
        ({"server_url": "https://me:pw@h.example/"}, "server_url"),
        ({"server_url": "file:///etc/passwd"}, "server_url"),
        ({"server_url": None, "connector_id": "connector_gmail"}, "connector_id"),
        ({"headers": {"Host": "x"}}, "headers"),
        ({"headers": {"X": "a\r\nb: c"}}, "headers"),
        ({"authorization": ["x"]}, "authorization"),
        ({"allowed_tools": {"names": []}}, "allowed_tools"),
        ({"require_approval": "sometimes"}, "require_approval"),
        ({"agent_kernel": {"command": []}}, "agent_kernel.command"),
        ({"agent_kernel": {"command": ["x"]}}, "server_url"),
    ],
)
def test_entries_that_are_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_tools([{**entry("https://h.example/mcp"), **fields}])
    assert caught.value.param == f"tools[0].{param}"


def test_two_servers_with_one_label_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="label calc"):
        read_tools([entry("https://a.example/"), entry("https://b.example/")])


def test_depth_is_measured_without_recursion() -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    assert is_deep(value)
    assert not is_deep({"a": [{"b": 1}]})
    while value:  # freed level by level
        value = value.pop()
