"""What every runtime does, in this process or over HTTP."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from openai.types.responses import Response, ResponseStreamEvent

from agent_kernel.errors import InvalidRequest, NotFound, SandboxGone, TooLarge
from agent_kernel.protocol.fold import fold
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.base import Runtime
from agent_kernel.runtime.local import LocalRuntime

AUTO = {"type": "shell", "environment": {"type": "container_auto"}}
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}}
DIRECT = "agent_kernel/shell"


async def events_of(runtime: Runtime, request: dict[str, Any]) -> list[ResponseStreamEvent]:
    async with aclosing(runtime.respond(request)) as events:
        return [event async for event in events]


async def turn(runtime: Runtime, text: str, **request: Any) -> Response:
    return fold(await events_of(runtime, {"input": text, "tools": [AUTO], **request}))


async def run(runtime: Runtime, command: str, container_id: str) -> str:
    """One command's stdout."""
    tool = {"type": "shell", "environment": {"type": "container_reference", "container_id": container_id}}
    response = await turn(runtime, command, model=DIRECT, tools=[tool])
    return str(outputs(response)[0]["output"][0]["stdout"])


def items(response: Response) -> list[dict[str, Any]]:
    output: list[dict[str, Any]] = to_json(response)["output"]
    return output


def outputs(response: Response) -> list[dict[str, Any]]:
    return [item for item in items(response) if item["type"] == "shell_call_output"]


def container_of(response: Response) -> str:
    return str(to_json(response)["tools"][0]["environment"]["container_id"])


async def chunks(*data: bytes) -> AsyncIterator[bytes]:
    for chunk in data:
        yield chunk


@pytest.mark.on_docker
async def test_a_turn_from_created_to_completed(runtime: Runtime) -> None:
    events = await events_of(runtime, {"input": "look", "tools": [AUTO]})
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1].type == "response.completed"
    assert [to_json(event)["sequence_number"] for event in events] == list(range(len(events)))
    created = to_json(events[0])["response"]
    assert created["tools"][0]["environment"]["type"] == "container_reference"
    response = fold(events)
    assert [item["type"] for item in items(response)] == [
        "reasoning", "shell_call", "shell_call_output", "message",
    ]  # fmt: skip
    assert response.output_text == "Found one."
    one, two = outputs(response)[0]["output"]
    assert (one["stdout"], one["stderr"], one["outcome"]) == (
        "one\n", "two\n", {"type": "exit", "exit_code": 0},
    )  # fmt: skip
    assert two["outcome"] == {"type": "exit", "exit_code": 3}
    assert to_json(await runtime.retrieve(response.id)) == to_json(response)


@pytest.mark.on_docker
async def test_the_next_turn_finds_files_variables_and_directory(runtime: Runtime) -> None:
    first = await turn(runtime, "look")
    second = await turn(runtime, "remember", previous_response_id=first.id)
    assert container_of(second) == container_of(first)
    assert second.previous_response_id == first.id
    assert outputs(second)[0]["output"][0]["stdout"] == "1\n/mnt/data/sub\n"


@pytest.mark.parametrize("by_reference", [True, False])
async def test_a_conversation_sent_again_goes_on_in_its_container(
    runtime: Runtime, by_reference: bool
) -> None:
    first = await turn(runtime, "look")
    said: list[Any] = items(first)
    if by_reference:
        said = [{"type": "item_reference", "id": item["id"]} for item in said]
    again = [{"role": "user", "content": "look"}, *said, {"role": "user", "content": "remember"}]
    second = fold(await events_of(runtime, {"input": again, "tools": [AUTO]}))
    assert container_of(second) == container_of(first)
    assert outputs(second)[0]["output"][0]["stdout"] == "1\n/mnt/data/sub\n"


async def test_a_container_that_only_the_input_knows_is_lost(runtime: Runtime) -> None:
    elsewhere = {"type": "container_reference", "container_id": "cntr_elsewhere"}
    call = {"type": "shell_call", "call_id": "c1", "action": {"commands": ["ls"]}, "environment": elsewhere}
    output = {"type": "shell_call_output", "call_id": "c1", "output": []}
    said = [{"role": "user", "content": "Hello"}, call, output, {"role": "user", "content": "look"}]
    response = fold(await events_of(runtime, {"input": said, "tools": [AUTO]}))
    assert response.status == "completed"
    assert container_of(response) != "cntr_elsewhere"


async def test_output_is_seen_while_the_command_runs(runtime: Runtime) -> None:
    request = {"input": "slow", "tools": [AUTO]}
    async with aclosing(runtime.respond(request)) as events:
        async with asyncio.timeout(60):
            async for event in events:
                if event.type == "response.shell_call_output_content.delta":
                    break
    assert to_json(event)["delta"] == {"stdout": "begun\n"}


async def test_closing_ends_the_command_and_leaves_a_chain_that_goes_on(runtime: Runtime) -> None:
    response_id = container_id = ""
    async with aclosing(runtime.respond({"input": "slow", "tools": [AUTO]})) as events:
        async for event in events:
            if event.type == "response.created":
                response_id, container_id = event.response.id, container_of(event.response)
            if event.type == "response.shell_call_output_content.delta":
                break
    stored = await _until_stored(runtime, response_id)
    assert stored.status == "incomplete"
    assert to_json(stored)["incomplete_details"] == {"reason": "agent_kernel.cancelled"}
    stopped, not_begun = outputs(stored)[0]["output"]
    assert stopped["stdout"] == "begun\n"
    assert stopped["outcome"]["exit_code"] == 130
    assert not_begun["outcome"]["exit_code"] == 130
    processes = await run(runtime, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '", container_id)
    assert "sleep 600" not in processes
    later = await turn(runtime, "remember", previous_response_id=response_id)
    assert later.status == "completed"
    assert container_of(later) == container_id


async def _until_stored(runtime: Runtime, response_id: str) -> Response:
    """A server notices a moment later that its client has left."""
    async with asyncio.timeout(60):
        while True:
            stored = await runtime.retrieve(response_id)
            if stored.status != "in_progress":
                return stored
            await asyncio.sleep(0.02)


async def test_a_timeout_keeps_what_was_printed_and_goes_on(runtime: Runtime) -> None:
    response = await turn(runtime, "time out")
    first, second = outputs(response)[0]["output"]
    assert (first["stdout"], first["outcome"]) == ("partial\n", {"type": "timeout"})
    assert (second["stdout"], second["outcome"]["exit_code"]) == ("next\n", 0)


async def test_long_output_keeps_head_and_tail(runtime: Runtime) -> None:
    response = await turn(runtime, "much")
    (output,) = outputs(response)
    text = output["output"][0]["stdout"]
    assert output["max_output_length"] == 1000
    assert text.startswith("1\n2\n")
    assert text.endswith("99999\n100000\n")
    assert re.search(r"\[\.\.\. 587895 characters left out; the log is /\S+ \.\.\.\]", text)
    assert len(text) < 1100


async def test_what_cannot_be_begun_is_raised(runtime: Runtime) -> None:
    for request, param, code in (
        ({"previous_response_id": "resp_none"}, "previous_response_id", "previous_response_not_found"),
        ({"input": 7}, "input", None),
        ({"model": "nonsense/x"}, "model", "model_not_found"),
        ({"input": [{"type": "function_call_output", "call_id": "call_9", "output": ""}]}, "input", None),
    ):
        with pytest.raises(InvalidRequest) as caught:
            await turn(runtime, "chat", **request)
        assert not isinstance(caught.value, NotFound)
        assert (caught.value.param, caught.value.request_code) == (param, code)
    tool = {"type": "shell", "environment": {"type": "container_reference", "container_id": "cntr_none"}}
    with pytest.raises(NotFound, match="cntr_none"):
        await turn(runtime, "chat", tools=[tool])


async def test_a_failure_on_the_way_ends_the_stream_in_words(runtime: Runtime) -> None:
    for text in ("something else", "misquote"):
        events = await events_of(runtime, {"input": text, "tools": [AUTO]})
        assert [event.type for event in events[-2:]] == ["error", "response.failed"]
        response = fold(events)
        assert response.status == "failed"
        assert response.error is not None
        assert response.error.message in (to_json(events[-2])["message"],)
        assert (await runtime.retrieve(response.id)).status == "failed"
        later = await turn(runtime, "remember", previous_response_id=response.id)
        assert later.status == "completed"


async def test_a_turn_that_does_not_end_is_incomplete_and_goes_on(runtime: Runtime) -> None:
    response = await turn(runtime, "go on and on")
    assert response.status == "incomplete"
    assert to_json(response)["incomplete_details"] == {"reason": "agent_kernel.max_steps"}
    assert len(outputs(response)) == 3
    later = await turn(runtime, "remember", previous_response_id=response.id)
    assert later.status == "completed"


async def test_calls_over_max_tool_calls_are_answered_not_run(runtime: Runtime) -> None:
    response = await turn(runtime, "go on and on", max_tool_calls=1)
    first, second, _ = [output["output"][0] for output in outputs(response)]
    assert first["stdout"] == "1\n"
    assert second["stdout"] == ""
    assert "max_tool_calls" in second["stderr"]


async def test_store_false_is_not_kept(runtime: Runtime) -> None:
    response = await turn(runtime, "chat", store=False, tools=[])
    with pytest.raises(NotFound, match=response.id):
        await runtime.retrieve(response.id)
    with pytest.raises(InvalidRequest, match=response.id):
        await turn(runtime, "chat", previous_response_id=response.id, tools=[])


async def test_a_deleted_response_cannot_be_continued(runtime: Runtime) -> None:
    first = await turn(runtime, "chat", tools=[])
    second = await turn(runtime, "chat", tools=[], previous_response_id=first.id)
    await runtime.delete(first.id)
    for previous in (first.id, second.id):
        with pytest.raises(InvalidRequest, match=first.id):
            await turn(runtime, "chat", tools=[], previous_response_id=previous)
    for use in (runtime.retrieve, runtime.delete):
        with pytest.raises(NotFound, match=first.id):
            await use(first.id)


async def test_a_local_shell_is_the_clients(runtime: Runtime) -> None:
    tools = [{"type": "shell", "environment": {"type": "local"}}]
    first = await turn(runtime, "look", tools=tools)
    assert first.status == "completed"
    call = items(first)[-1]
    assert call["type"] == "shell_call"
    with pytest.raises(InvalidRequest, match=call["call_id"]):
        await turn(runtime, "look", tools=tools, previous_response_id=first.id)
    printed = {"stdout": "one", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}
    answer = {"type": "shell_call_output", "call_id": call["call_id"], "output": [printed]}
    second = await turn(runtime, "", input=[answer], tools=tools, previous_response_id=first.id)
    assert second.output_text == "Found one."


@pytest.mark.on_docker
async def test_two_turns_share_a_container(runtime: Runtime) -> None:
    made = await runtime.containers.create({"name": "shared"})
    await asyncio.gather(*(run(runtime, f"sleep 0.1; echo {n} >> log", made.id) for n in range(3)))
    assert sorted((await run(runtime, "cat log", made.id)).split()) == ["0", "1", "2"]


@pytest.mark.on_docker
async def test_reset_begins_a_fresh_shell_and_keeps_files(runtime: Runtime) -> None:
    made = await runtime.containers.create({"name": "reset"})
    assert (
        await run(runtime, "COLOUR=blue; cd /tmp; echo kept >/mnt/data/kept; echo $COLOUR", made.id)
        == "blue\n"
    )
    assert (await runtime.containers.reset(made.id)).id == made.id
    assert await run(runtime, "echo [$COLOUR] $PWD; cat kept", made.id) == "[] /mnt/data\nkept\n"
    with pytest.raises(NotFound):
        await runtime.containers.reset("cntr_none")


async def test_containers_and_files(runtime: Runtime) -> None:
    containers = runtime.containers
    made = await containers.create(
        {"name": "mine", "expires_after": {"anchor": "last_active_at", "minutes": 5}}
    )
    assert made.expires_after is not None
    assert (made.name, made.status, made.expires_after.minutes) == ("mine", "running", 5)
    assert [each.id for each in (await containers.list(name="mine")).data] == [made.id]
    assert (await containers.retrieve(made.id)).name == "mine"

    data = bytes(range(256)) * 2000
    path = 'sub/a "quoted" % ünï.csv'
    file = await containers.files.create(
        made.id, path=path, content=chunks(data[:77], data[77:]), size=len(data)
    )
    assert (file.path, file.bytes, file.source) == (f"/mnt/data/{path}", len(data), "user")
    assert await run(runtime, "wc -c < sub/*.csv; echo x > made", made.id) == f"{len(data)}\n"
    listed = await containers.files.list(made.id)
    assert [each.path for each in listed.data] == ["/mnt/data/made", file.path]
    assert (
        to_json(listed.data[0])["agent_kernel"]["modified_ns"] > to_json(file)["agent_kernel"]["modified_ns"]
    )
    assert (await containers.files.retrieve(made.id, file.id)).path == file.path
    async with aclosing(containers.files.content(made.id, file.id)) as content:
        assert b"".join([chunk async for chunk in content]) == data
    await containers.files.delete(made.id, file.id)
    with pytest.raises(NotFound, match=file.id):
        await containers.files.retrieve(made.id, file.id)
    with pytest.raises(NotFound, match=file.id):
        async with aclosing(containers.files.content(made.id, file.id)) as content:
            await anext(content)

    await containers.delete(made.id)
    with pytest.raises(NotFound, match=made.id):
        await containers.retrieve(made.id)


@pytest.mark.parametrize("announced", [True, False])
async def test_an_upload_over_the_limit(runtime: Runtime, announced: bool) -> None:
    made = await runtime.containers.create({})
    size = 8 << 20
    with pytest.raises(TooLarge, match="1048576 bytes"):
        await runtime.containers.files.create(
            made.id, path="big", content=chunks(*[b"x" * 65536] * 128), size=size if announced else None
        )
    assert (await runtime.containers.files.list(made.id)).data == []


async def test_an_upload_to_a_place_outside_is_refused(runtime: Runtime) -> None:
    made = await runtime.containers.create({})
    with pytest.raises(InvalidRequest, match="/mnt/data"):
        await runtime.containers.files.create(made.id, path="../../etc/passwd", content=chunks(b"x"))


@pytest.mark.on_docker
async def test_a_killed_container(runtime: Runtime, kill: Callable[[str], Awaitable[None]]) -> None:
    first = await turn(runtime, "look")
    await kill(container_of(first))
    tool = {
        "type": "shell",
        "environment": {"type": "container_reference", "container_id": container_of(first)},
    }
    with pytest.raises(SandboxGone, match="ended from outside"):
        await turn(runtime, "remember", tools=[tool])
    second = await turn(runtime, "remember", previous_response_id=first.id)
    assert container_of(second) != container_of(first)
    assert outputs(second)[0]["output"][0]["stdout"] == "\n/mnt/data\n"


async def test_a_container_killed_while_a_command_runs(
    runtime: Runtime, kill: Callable[[str], Awaitable[None]]
) -> None:
    seen: list[ResponseStreamEvent] = []
    async with aclosing(runtime.respond({"input": "slow", "tools": [AUTO]})) as events:
        async for event in events:
            seen.append(event)
            if event.type == "response.shell_call_output_content.delta":
                await kill(container_of(seen[0].response))  # type: ignore[union-attr]  # created
    response = fold(seen)
    assert response.status == "failed"
    assert response.error is not None
    assert "ended from outside" in response.error.message
    assert outputs(response)[0]["output"][0]["stdout"] == "begun\n"


async def test_a_file_name_that_is_no_text(runtime: Runtime) -> None:
    made = await runtime.containers.create({})
    await run(runtime, r"echo x > $'bad\xff'; echo y > good", made.id)
    listed = (await runtime.containers.files.list(made.id)).data
    good, bad = listed
    assert (good.path, bad.path) == ("/mnt/data/good", "/mnt/data/bad\ufffd")
    async with aclosing(runtime.containers.files.content(made.id, bad.id)) as content:
        assert b"".join([chunk async for chunk in content]) == b"x\n"


async def test_a_turn_that_cannot_be_stored_says_so(
    runtime: Runtime, local_runtime: LocalRuntime, tmp_path: Path
) -> None:
    await turn(runtime, "chat", tools=[])
    with sqlite3.connect(tmp_path / "store.sqlite") as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE UPDATE ON responses BEGIN SELECT raise(ABORT, 'disk full'); END"
        )
    connection.close()
    events = await events_of(runtime, {"input": "chat"})
    assert [event.type for event in events[-2:]] == ["error", "response.failed"]
    numbers = [to_json(event)["sequence_number"] for event in events]
    assert numbers == list(range(len(events)))
    response = fold(events)
    assert response.status == "failed"
    assert response.error is not None
    assert "could not be stored" in response.error.message
    assert response.output_text == "Hello."


async def test_models_are_named(runtime: Runtime) -> None:
    assert DIRECT in await runtime.models()
