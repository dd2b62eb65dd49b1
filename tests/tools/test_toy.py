"""A tool of another package goes through the whole runtime, with no change in the product."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI

from agent_kernel.errors import InvalidRequest
from agent_kernel.models.catalogue import Models
from agent_kernel.policy.rules import Policy, Rule
from agent_kernel.protocol.fold import fold
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.runtime.turns.budgets import Budget
from agent_kernel.runtime.turns.settings import TurnSettings
from agent_kernel.sandboxes.base import Backend
from agent_kernel.store.sqlite.store import sqlite_store
from agent_kernel.tools.request import read_tools
from tests import forked
from tests.runtime.played import Upstream, call, runtime_on

Json = dict[str, Any]
Make = Callable[..., Any]

SCRIPT = f"scripted/{Path(__file__).parent / 'toy.yaml'}"
STAMP = {"type": "stamp", "ink": "blue"}
SHELL = {"type": "shell"}
FLAGS = ("--sandbox", "bubblewrap", "--server-lease", "60")

pytestmark = [pytest.mark.bubblewrap, pytest.mark.usefixtures("toy")]


@asynccontextmanager
async def opened(backend: Backend, folder: Path, script: str, **parts: Any) -> AsyncIterator[LocalRuntime]:
    runtime = LocalRuntime(
        RuntimeParts(
            models=Models(upstream_url=None, upstream_key=None, default=script),
            backend=backend,
            store=sqlite_store(folder),
            audit=AuditLog(folder / "audit.jsonl"),
            **parts,
        )
    )
    try:
        yield runtime
    finally:
        for container in (await runtime.containers.list(limit=100)).data:
            await runtime.containers.delete(container.id)
        await runtime.aclose()


@pytest.fixture
def runtime(bubblewrap_backend: Backend, tmp_path: Path) -> Make:
    return partial(opened, bubblewrap_backend, tmp_path, SCRIPT)


async def events_of(runtime: LocalRuntime, said: Any, **request: Any) -> list[Json]:
    request = {"input": said, "tools": [SHELL, STAMP], **request}
    async with aclosing(runtime.respond(request)) as events:
        found = [event async for event in events]
    assert to_json(fold(found)) == to_json(found[-1])["response"]
    return [to_json(event) for event in found]


async def output_of(runtime: LocalRuntime, said: Any, **request: Any) -> list[Json]:
    events = await events_of(runtime, said, **request)
    assert events[-1]["type"] == "response.completed", events[-1]
    output: list[Json] = events[-1]["response"]["output"]
    return output


def test_an_entry_is_validated() -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_tools([SHELL, {"type": "stamp", "ink": "green"}])
    assert refused.value.param == "tools[1].ink"


async def test_a_call_runs_beside_a_shell_call(runtime: Make) -> None:
    """The command waits for the file that the tool writes, so one after the other would never end."""
    async with runtime() as running:
        events = await events_of(running, "both")
    response = events[-1]["response"]
    assert [item["type"] for item in response["output"]] == [
        "shell_call",
        "stamp_call",
        "shell_call_output",
        "stamp_call_output",
        "message",
    ]
    assert response["output"][3]["output"] == "stamping seal in blue"
    assert response["output"][-1]["content"][0]["text"] == "It says blue."
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    places = {event["output_index"] for event in events if event["type"].startswith("response.stamp_call_a")}
    assert places == {1}
    shown = [event["delta"] for event in events if event["type"] == "response.stamp_call_output.delta"]
    assert "".join(shown) == "stamping seal in blue"


async def test_a_call_is_audited_and_counted(runtime: Make, tmp_path: Path) -> None:
    async with runtime() as running:
        await output_of(running, "stamp it")
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    calls = [(line["event"], line["tool"], line.get("outcome")) for line in lines if "tool" in line]
    assert calls == [("call", "stamp", None), ("call.end", "stamp", "ended")]


async def test_a_policy_asks_and_an_answer_runs_it(runtime: Make) -> None:
    policy = Policy("allow", (Rule("ask", command="stamp *"),))
    async with runtime(approval=policy) as running:
        events = await events_of(running, "stamp it")
        first = events[-1]["response"]
        call_item, asked = first["output"]
        assert asked["name"] == "stamp"
        assert json.loads(asked["arguments"])["name"] == "seal"
        answer = {"type": "mcp_approval_response", "approval_request_id": asked["id"], "approve": True}
        output = await output_of(running, [answer], previous_response_id=first["id"])
    assert (output[0]["type"], output[0]["call_id"]) == ("stamp_call_output", call_item["call_id"])
    assert output[0]["output"] == "stamping seal in blue"


async def test_a_policy_denies_it(runtime: Make) -> None:
    async with runtime(approval=Policy("deny")) as running:
        output = await output_of(running, "stamp it")
    assert output[1]["output"].startswith("Not run: ")


async def test_limits_count_its_calls_in_order(runtime: Make) -> None:
    async with runtime() as running:
        output = await output_of(running, "twice", max_tool_calls=1)
    outputs = {item["call_id"]: item["output"] for item in output if item["type"] == "stamp_call_output"}
    first, second = [item["call_id"] for item in output if item["type"] == "stamp_call"]
    assert outputs[first] == "stamping one in blue"
    assert outputs[second].startswith("Not run: max_tool_calls")


async def test_a_budget_ends_its_turn(runtime: Make) -> None:
    async with runtime(turn_settings=TurnSettings(budget=Budget(tool_calls=1))) as running:
        events = await events_of(running, "twice")
    details = events[-1]["response"]["incomplete_details"]
    assert details == {"reason": "agent_kernel.max_tool_calls"}


async def test_a_stored_call_is_continued(runtime: Make) -> None:
    async with runtime() as running:
        first = (await events_of(running, "stamp it"))[-1]["response"]
        output = await output_of(running, "again", previous_response_id=first["id"])
    assert output[1]["output"][0]["stdout"] == "blue\n"


async def test_a_cancelled_call_has_an_output(runtime: Make) -> None:
    async with runtime() as running:
        request, response_id = {"input": "wait", "tools": [STAMP], "background": True}, ""
        async with aclosing(running.respond(request)) as events:
            async for event in events:
                if event.type == "response.stamp_call_output.delta":
                    break
                response_id = getattr(getattr(event, "response", None), "id", None) or response_id
        response = to_json(await running.cancel(response_id))
    assert response["status"] == "cancelled"
    assert response["output"][-1]["type"] == "stamp_call_output"
    assert response["output"][-1]["output"].startswith("stamping \n")


async def test_a_steered_call_has_an_output(runtime: Make) -> None:
    settings = TurnSettings(steer_grace=0.0)
    async with runtime(turn_settings=settings) as running:
        session = running.session()
        seen: list[Json] = []
        async with aclosing(session.respond({"input": "wait", "tools": [STAMP]})) as events:
            async for event in events:
                seen.append(to_json(event))
                if event.type == "response.stamp_call_output.delta":
                    first = seen[0]["response"]["id"]
                    given = [{"type": "message", "role": "user", "content": "change"}]
                    accepted = await session.steer(first, given)
                    assert accepted.type == "response.steer.accepted"
    ends = [
        event["response"] for event in seen if event["type"] in ("response.incomplete", "response.completed")
    ]
    assert [each["status"] for each in ends] == ["incomplete", "completed"]
    assert ends[0]["output"][-1]["type"] == "stamp_call_output"
    assert ends[1]["output"][-1]["content"][0]["text"] == "Changed."


async def test_chat_completions_reads_it_as_a_function(
    bubblewrap_backend: Backend, tmp_path: Path, upstream: Upstream
) -> None:
    upstream.says(call(0, "stamp", {"name": "seal"}, "c1"), finish="tool_calls")
    upstream.says({"content": "Done."})
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path) as running:
        output = await output_of(running, "go", tools=[STAMP])
    (offered,) = upstream.requests[0]["tools"]
    assert offered["function"]["name"] == "stamp"
    assert [item["type"] for item in output] == ["stamp_call", "stamp_call_output", "message"]
    assert upstream.requests[1]["messages"][-1] == {
        "role": "tool",
        "tool_call_id": "c1",
        "content": "stamping seal in blue",
    }


async def test_a_responses_upstream_reads_it_as_a_function(
    bubblewrap_backend: Backend, tmp_path: Path, upstream: Upstream
) -> None:
    item = {"type": "function_call", "id": "f", "call_id": "c1", "name": "stamp", "status": "completed"}
    upstream.responds({**item, "arguments": '{"name": "seal"}'})
    upstream.responds()
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path) as running:
        output = await output_of(running, "go", tools=[STAMP], model="responses/m")
    assert upstream.requests[0]["tools"][0]["name"] == "stamp"
    assert [each["type"] for each in output] == ["stamp_call", "stamp_call_output"]
    assert upstream.requests[1]["input"][-1]["output"] == "stamping seal in blue"


def test_a_killed_server_keeps_what_it_did(own_environment: dict[str, str], toy: Path) -> None:
    """A call whose end is not known is never run twice: it is given an output, and can be continued."""
    path = os.pathsep.join(filter(None, (str(toy), own_environment.get("PYTHONPATH"))))
    environment = {**own_environment, "PYTHONPATH": path}
    tools: Any = [STAMP]

    def serve() -> tuple[forked.Forked, OpenAI]:
        process, url = forked.serve(*FLAGS, "--model", SCRIPT, environment=environment)
        return process, OpenAI(base_url=url, api_key="x", max_retries=0)

    def end(process: forked.Forked, client: OpenAI, with_: int) -> None:
        process.send_signal(with_)
        process.wait()
        client.close()

    process, client = serve()
    response_id = ""
    events: Any = client.responses.create(input="wait", tools=tools, stream=True, background=True)
    for event in events:
        response_id = response_id or event.response.id
        if event.type == "response.stamp_call_output.delta":
            break
    end(process, client, signal.SIGKILL)
    process, client = serve()
    try:
        stored = to_json(client.responses.retrieve(response_id))
        assert stored["status"] == "incomplete"
        assert [item["type"] for item in stored["output"]] == ["stamp_call", "stamp_call_output"]
        assert stored["output"][1]["output"].startswith("stamping \n")
        after = client.responses.create(input="stamp it", tools=tools, previous_response_id=response_id)
        assert to_json(after)["output"][1]["output"] == "stamping seal in blue"
        for container in client.containers.list(limit=100):
            client.containers.delete(container.id)
    finally:
        end(process, client, signal.SIGTERM)


async def test_a_killed_turn_is_resumed(
    own_environment: dict[str, str], toy: Path, upstream: Upstream, bubblewrap_backend: Backend
) -> None:
    """Its call had ended, so another server asks the model again, which is given the output."""
    upstream.says(call(0, "stamp", {"name": "seal"}, "c1"), finish="tool_calls")
    upstream.hangs()
    upstream.says({"content": "Done."})
    path = os.pathsep.join(filter(None, (str(toy), own_environment.get("PYTHONPATH"))))
    environment = {**own_environment, "PYTHONPATH": path, "AGENT_KERNEL_UPSTREAM_URL": upstream.url}

    def serve() -> tuple[forked.Forked, AsyncOpenAI]:
        process, url = forked.serve(*FLAGS, "--model", "chat/m", environment=environment)
        return process, AsyncOpenAI(base_url=url, api_key="x", max_retries=0)

    process, client = await asyncio.to_thread(serve)
    tools: Any = [STAMP]
    events: Any = await client.responses.create(input="go", tools=tools, stream=True, background=True)
    response_id = ""
    async for event in events:
        response_id = response_id or event.response.id
        if event.type == "response.output_item.done" and event.item.type == "stamp_call_output":
            break
    for _ in range(2):  # until the second step has begun
        await upstream.asked.get()
    process.kill()
    await asyncio.to_thread(process.wait)
    await client.close()
    process, client = await asyncio.to_thread(serve)
    try:
        resumed: Any = await client.responses.retrieve(response_id, stream=True)
        async for event in resumed:
            last = event
        assert last.type == "response.completed", last
        output = to_json(last)["response"]["output"]
        assert [item["type"] for item in output] == ["stamp_call", "stamp_call_output", "message"]
        assert upstream.requests[2]["messages"][-1]["content"] == "stamping seal in blue"
        async for container in client.containers.list(limit=100):
            await client.containers.delete(container.id)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)
        await client.close()
