"""A tool whose call and output are one item goes through the whole runtime."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI

from agent_kernel.errors import InvalidRequest
from agent_kernel.policy.rules import Policy, Rule
from agent_kernel.protocol.broken import end_broken
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.turns.budgets import Budget
from agent_kernel.runtime.turns.context.compaction import for_model
from agent_kernel.runtime.turns.settings import TurnSettings
from agent_kernel.sandboxes.base import Backend
from agent_kernel.tools.catalogue import catalogue
from agent_kernel.tools.one_item import NO_END
from tests import forked
from tests.runtime.played import Upstream, call, runtime_on
from tests.tools.test_toy import FLAGS, SHELL, Json, Make, events_of, opened, output_of

SCRIPT = f"scripted/{Path(__file__).parent / 'one_item.yaml'}"
PROBE = {"type": "probe"}
TOOLS = [SHELL, PROBE]
SHOWN = {"tools": TOOLS, "include": ["probe_call.outputs"]}

pytestmark = [pytest.mark.bubblewrap, pytest.mark.usefixtures("toy")]


@pytest.fixture
def runtime(bubblewrap_backend: Backend, tmp_path: Path) -> Make:
    return partial(opened, bubblewrap_backend, tmp_path, SCRIPT)


async def test_the_item_is_open_while_the_call_runs(runtime: Make) -> None:
    async with runtime() as running:
        events = await events_of(running, "look", **SHOWN)
    kinds = [event["type"] for event in events if event.get("output_index") == 0]
    assert list(dict.fromkeys(kinds)) == [
        "response.output_item.added",
        "response.probe_call_code.delta",
        "response.probe_call_code.done",
        "response.probe_call.running",
        "response.probe_call.output.delta",
        "response.probe_call.completed",
        "response.output_item.done",
    ]
    added = next(event["item"] for event in events if event["type"] == "response.output_item.added")
    item, message = events[-1]["response"]["output"]
    assert (added["id"], added["code"], added["status"]) == (item["id"], "", "in_progress")
    assert set(item) == {"id", "type", "container_id", "code", "outputs", "status"}
    assert (item["code"], item["outputs"], item["status"]) == (
        "echo one; echo two",
        "one\ntwo\n",
        "completed",
    )
    assert message["content"][0]["text"] == "It says two."
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


async def test_a_shell_call_in_the_same_step(runtime: Make) -> None:
    async with runtime() as running:
        output = await output_of(running, "both", **SHOWN)
    assert [item["type"] for item in output] == [
        "shell_call",
        "probe_call",
        "shell_call_output",
        "message",
    ]
    assert output[1]["outputs"] == "sealed\n"
    assert output[-1]["content"][0]["text"] == "It says blue."


async def test_include_decides_what_is_shown(runtime: Make) -> None:
    async with runtime() as running:
        hidden = (await events_of(running, "look", tools=TOOLS))[-1]["response"]
        assert hidden["output"][0]["outputs"] is None
        stored = to_json(await running.retrieve(hidden["id"]))
        assert stored == hidden
        asked = await running.retrieve(hidden["id"], include=["probe_call.outputs"])
        assert to_json(asked)["output"][0]["outputs"] == "one\ntwo\n"
        shown = (await events_of(running, "look", **SHOWN))[-1]["response"]
        assert to_json(await running.retrieve(shown["id"])) == shown
        # A client that sends the item back has no output to send: the model gets it all the same.
        request = {"input": [hidden["output"][0], {"role": "user", "content": "change"}], "tools": TOOLS}
        again = (await events_of(running, request["input"], tools=TOOLS))[-1]["response"]
        page = await running.input_items(again["id"])
        assert to_json(page.data[1])["outputs"] is None
        page = await running.input_items(again["id"], include=["probe_call.outputs"])
        assert to_json(page.data[1])["outputs"] == "one\ntwo\n"


async def test_background_streams_hide_it_too(runtime: Make) -> None:
    async with runtime() as running:
        events = await events_of(running, "look", tools=TOOLS, background=True)
        response = events[-1]["response"]
        done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        assert (done[0]["outputs"], response["output"][0]["outputs"]) == (None, None)
        async with aclosing(running.follow(response["id"], include=["probe_call.outputs"])) as followed:
            again = [to_json(event) async for event in followed]
    assert again[-1]["response"]["output"][0]["outputs"] == "one\ntwo\n"


async def test_conversations_keep_it_and_hide_it(runtime: Make) -> None:
    async with runtime() as running:
        conversation = await running.conversations.create({})
        await output_of(running, "look", tools=TOOLS, conversation=conversation.id)
        await output_of(running, "look", tools=TOOLS, conversation=conversation.id)
        found = await running.conversations.items(conversation.id, order="asc")
        shown = await running.conversations.items(
            conversation.id, order="asc", include=["probe_call.outputs"]
        )
    assert to_json(found.data[1])["outputs"] is None
    assert to_json(shown.data[1])["outputs"] == "one\ntwo\n"


async def test_limits_count_its_calls_in_order(runtime: Make) -> None:
    async with runtime() as running:
        output = await output_of(running, "twice", max_tool_calls=1, **SHOWN)
        events = await events_of(running, "twice", **SHOWN)
    assert output[0]["outputs"] == "one\n"
    assert output[1]["outputs"].startswith("Not run: max_tool_calls")
    kinds = [event["type"] for event in events if event.get("output_index") == 1]
    assert kinds.count("response.probe_call.running") == 1


async def test_a_budget_ends_its_turn(runtime: Make) -> None:
    async with runtime(turn_settings=TurnSettings(budget=Budget(tool_calls=1))) as running:
        response = (await events_of(running, "twice", **SHOWN))[-1]["response"]
    assert response["incomplete_details"] == {"reason": "agent_kernel.max_tool_calls"}
    assert [item["type"] for item in response["output"]] == ["probe_call", "probe_call"]


async def test_a_policy_denies_it(runtime: Make) -> None:
    async with runtime(approval=Policy("deny")) as running:
        output = await output_of(running, "twice", **SHOWN)
    assert output[0]["outputs"].startswith("Not run: ")


ASK = Policy("allow", (Rule("ask", command="echo *"),))


@pytest.mark.parametrize("edited", [None, ["echo other; echo two"]])
async def test_an_approved_call_gets_a_new_item(runtime: Make, edited: list[str] | None) -> None:
    ours = {"agent_kernel": {"commands": edited}} if edited else {}
    async with runtime(approval=ASK) as running:
        first = (await events_of(running, "look", **SHOWN))[-1]["response"]
        item, asked = first["output"]
        assert (item["status"], item["outputs"]) == ("incomplete", None)
        answer = {"type": "mcp_approval_response", "approval_request_id": asked["id"], "approve": True}
        events = await events_of(running, [{**answer, **ours}], previous_response_id=first["id"], **SHOWN)
        ran, message = events[-1]["response"]["output"]
        assert ran["code"] == (edited[0] if edited else item["code"])
        assert ran["id"] != item["id"]
        assert ran["agent_kernel"] == {"approval_request_id": asked["id"]}
        assert (ran["status"], "changed this" in ran["outputs"]) == ("completed", edited is not None)
        assert message["content"][0]["text"] == "It says two."
        with pytest.raises(InvalidRequest, match="answered already"):
            await output_of(running, [answer], previous_response_id=first["id"], **SHOWN)
        # The whole conversation again, as some clients send it: nothing is asked or run twice.
        said = {"role": "user", "content": "change"}
        whole = [{"role": "user", "content": "look"}, item, asked, answer, ran, message, said]
        output = await output_of(running, whole, **SHOWN)
    assert [each["type"] for each in output] == ["message"]


async def test_a_denied_call_says_so_in_a_new_item(runtime: Make) -> None:
    async with runtime(approval=ASK) as running:
        first = (await events_of(running, "twice", **SHOWN))[-1]["response"]
        requests = [item["id"] for item in first["output"] if item["type"] == "mcp_approval_request"]
        no = {"type": "mcp_approval_response", "approve": False, "reason": "too loud"}
        answers = [{**no, "approval_request_id": each} for each in requests]
        output = await output_of(running, answers, previous_response_id=first["id"], **SHOWN)
    assert [item["type"] for item in first["output"]] == [
        "probe_call",
        "probe_call",
        "mcp_approval_request",
        "mcp_approval_request",
    ]
    assert [item["outputs"] for item in output[:2]] == [
        "Not run: denied by the person who was asked: too loud"
    ] * 2


async def test_a_call_without_an_answer_is_explained(
    bubblewrap_backend: Backend, tmp_path: Path, upstream: Upstream
) -> None:
    upstream.says(call(0, "probe", {"code": "echo one"}, "c1"), finish="tool_calls")
    upstream.says({"content": "Done."})
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path, approval=ASK) as running:
        first = (await events_of(running, "go", **SHOWN))[-1]["response"]
        await output_of(running, "go on", previous_response_id=first["id"], **SHOWN)
    _, made, returned, _ = upstream.requests[1]["messages"]
    assert made["tool_calls"][0]["id"] == returned["tool_call_id"] == first["output"][0]["id"]
    assert returned["content"] == "Not run: no approval was given."


async def test_a_cancelled_call_keeps_its_output(runtime: Make) -> None:
    async with runtime() as running:
        request: Json = {"input": "wait", "background": True, **SHOWN}
        response_id = ""
        async with aclosing(running.respond(request)) as events:
            async for event in events:
                if event.type == "response.probe_call.output.delta":
                    break
                response_id = getattr(getattr(event, "response", None), "id", None) or response_id
        response = to_json(await running.cancel(response_id))
        assert response["status"] == "cancelled"
        (item,) = response["output"]
        assert (item["type"], item["status"]) == ("probe_call", "incomplete")
        assert item["outputs"].startswith("begun\nThe command was stopped")
        output = await output_of(running, "look", previous_response_id=response_id, **SHOWN)
    assert output[0]["outputs"] == "one\ntwo\n"


async def test_a_steered_call_keeps_its_output(runtime: Make) -> None:
    async with runtime(turn_settings=TurnSettings(steer_grace=0.0)) as running:
        session = running.session()
        seen: list[Json] = []
        async with aclosing(session.respond({"input": "wait", **SHOWN})) as events:
            async for event in events:
                seen.append(to_json(event))
                if event.type == "response.probe_call.output.delta":
                    given = [{"type": "message", "role": "user", "content": "change"}]
                    await session.steer(seen[0]["response"]["id"], given)
    ends = [
        event["response"] for event in seen if event["type"] in ("response.incomplete", "response.completed")
    ]
    assert [each["status"] for each in ends] == ["incomplete", "completed"]
    assert ends[0]["output"][0]["outputs"].startswith("begun\n")


async def test_chat_completions_reads_a_call_and_its_output(
    bubblewrap_backend: Backend, tmp_path: Path, upstream: Upstream
) -> None:
    upstream.says(call(0, "probe", {"code": "echo one"}, "c1"), call(1, "probe", {"cod": 1}, "c2"),
                  finish="tool_calls")  # fmt: skip
    upstream.says({"content": "Done."})
    upstream.says({"content": "Again."})
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path) as running:
        first = (await events_of(running, "go", tools=TOOLS))[-1]["response"]
        await output_of(running, "more", tools=TOOLS, previous_response_id=first["id"])
    item, rejected, _ = first["output"]
    assert rejected["type"] == "mcp_call"
    for request in upstream.requests[1:]:
        _, made, *returned = request["messages"][:4]
        assert made["tool_calls"][0] == {
            "id": item["id"],
            "type": "function",
            "function": {"name": "probe", "arguments": '{"code": "echo one"}'},
        }
        assert returned[0] == {"role": "tool", "tool_call_id": item["id"], "content": "one\n"}


async def test_a_responses_upstream_reads_a_call_and_its_output(
    bubblewrap_backend: Backend, tmp_path: Path, upstream: Upstream
) -> None:
    thought = {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "x"}
    item = {"type": "function_call", "id": "f", "call_id": "c1", "name": "probe", "status": "completed"}
    # An upstream's own call of this kind has run there: it is kept, and is not a call of ours.
    own = {"type": "probe_call", "id": "p", "code": "echo own", "status": "completed"}
    upstream.responds(thought, own, {**item, "arguments": '{"code": "echo one"}'})
    upstream.responds()
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path) as running:
        output = await output_of(running, "go", model="responses/m", **SHOWN)
    assert [each["type"] for each in output] == ["reasoning", "probe_call", "probe_call"]
    assert (output[1]["code"], output[1].get("outputs")) == ("echo own", None)
    *_, made, returned = upstream.requests[1]["input"]
    assert made == {"type": "function_call", "call_id": output[2]["id"], "name": "probe",
                    "arguments": '{"code": "echo one"}'}  # fmt: skip
    assert returned == {"type": "function_call_output", "call_id": output[2]["id"], "output": "one\n"}


async def test_a_foreign_item_is_checked_and_replayed_once(runtime: Make) -> None:
    item = {"type": "probe_call", "id": "prb_1", "code": "ls", "outputs": "x", "status": "completed"}
    said = {"role": "user", "content": "change"}
    async with runtime() as running:
        await output_of(running, [item, item, said], tools=TOOLS)
        for wrong in ({**item, "id": None}, {"type": "probe_call_output", "call_id": "c", "output": ""}):
            with pytest.raises(InvalidRequest, match=r"input\[0\]"):
                await output_of(running, [wrong, said], tools=TOOLS)
    assert [each["type"] for each in for_model([item, item])] == ["probe_call", "probe_call_output"]
    unfinished = {**item, "outputs": None, "status": "incomplete"}
    assert for_model([unfinished])[1]["output"] == NO_END


async def test_any_cut_of_its_stream_gets_an_end(runtime: Make) -> None:
    async with runtime() as running:
        events = await events_of(running, "both", **SHOWN)
    skeleton = {**events[0]["response"], "output": []}
    for cut in range(1, len(events)):
        ending = end_broken(skeleton, events[:cut], "agent_kernel.interrupted", catalogue())
        numbers = [event["sequence_number"] for event in (*events[:cut], *ending.events)]
        assert numbers == list(range(len(numbers)))
        calls = [item for item in ending.response["output"] if item["type"].endswith("_call")]
        assert all(item["status"] in ("completed", "incomplete") for item in calls)
        probes = [item for item in calls if item["type"] == "probe_call"]
        assert all(item["outputs"] for item in probes)


async def served(toy: Path, own: dict[str, str]) -> tuple[forked.Forked, AsyncOpenAI]:
    path = os.pathsep.join(filter(None, (str(toy), own.get("PYTHONPATH"))))
    serve = partial(forked.serve, *FLAGS, "--model", SCRIPT, environment={**own, "PYTHONPATH": path})
    process, url = await asyncio.to_thread(serve)
    return process, AsyncOpenAI(base_url=url, api_key="x", max_retries=0)


async def killed_in_a_call(process: forked.Forked, client: AsyncOpenAI, **request: Any) -> str:
    """Return the id of a response whose process was killed while its call ran."""
    events: Any = await client.responses.create(input="wait", stream=True, **request)
    response_id = ""
    async for event in events:
        response_id = response_id or event.response.id
        if event.type == "response.probe_call.output.delta":
            break
    process.kill()
    await asyncio.to_thread(process.wait)
    await events.close()
    await client.close()
    return response_id


async def ended(process: forked.Forked, client: AsyncOpenAI) -> None:
    async for container in client.containers.list(limit=100):
        await client.containers.delete(container.id)
    process.terminate()
    await asyncio.to_thread(process.wait)
    await client.close()


async def test_a_killed_call_is_resumed(own_environment: dict[str, str], toy: Path) -> None:
    """The code runs on while no server does; the next one reads the rest, and runs nothing twice."""
    tools: Any = [{"type": "shell"}, PROBE]
    include: Any = ["probe_call.outputs"]
    process, client = await served(toy, own_environment)
    response_id = await killed_in_a_call(process, client, tools=tools, include=include, background=True)
    process, client = await served(toy, own_environment)
    try:
        resumed: Any = await client.responses.retrieve(response_id, stream=True, include=include)
        events = []
        async for event in resumed:
            events.append(to_json(event))
            if event.type == "response.probe_call.output.delta" and event.delta == "begun\n":
                (container,) = (await client.containers.list()).data
                await client.containers.files.create(container.id, file=("go", b""))
    finally:
        await ended(process, client)
    assert events[-1]["type"] == "response.completed", events[-1]
    item, _ = events[-1]["response"]["output"]
    assert (item["outputs"], item["status"]) == ("begun\nover\n", "completed")
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = [event["type"] for event in events]
    assert kinds.count("response.probe_call.running") == kinds.count("response.probe_call.completed") == 1


async def test_a_killed_foreground_call_is_kept(own_environment: dict[str, str], toy: Path) -> None:
    """A call is written down before it runs, although its item is not finished."""
    tools: Any = [{"type": "shell"}, PROBE]
    process, client = await served(toy, own_environment)
    response_id = await killed_in_a_call(process, client, tools=tools)
    process, client = await served(toy, own_environment)
    try:
        include: Any = ["probe_call.outputs"]
        stored = to_json(await client.responses.retrieve(response_id, include=include))
    finally:
        await ended(process, client)
    assert stored["status"] == "incomplete"
    (item,) = stored["output"]
    assert item["code"].startswith("echo begun")
    assert (item["outputs"], item["status"]) == (NO_END, "incomplete")
