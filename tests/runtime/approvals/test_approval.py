from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.keys import Key
from agent_kernel.models.catalogue import Models
from agent_kernel.policy.rules import Policy, Rule
from agent_kernel.protocol.fold import afold
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.approvals.items import ELSEWHERE, UNDECIDED
from agent_kernel.runtime.base import Runtime
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.runtime.remote.runtime import RemoteRuntime
from agent_kernel.runtime.turns.history import Histories, join
from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.store.sqlite.store import sqlite_rows, sqlite_store
from tests.runtime.conftest import served
from tests.runtime.played import Upstream, call, runtime_on

Json = dict[str, Any]

SCRIPT = f"scripted/{Path(__file__).parent / 'approval.yaml'}"
SHELL = {"type": "shell", "environment": {"type": "container_auto"}}
WEATHER = {"type": "function", "name": "get_weather", "parameters": {}, "strict": False}

LOCAL = {"type": "shell", "environment": {"type": "local"}}

ASK = Policy("ask")


@asynccontextmanager
async def opened(backend: Backend, folder: Path, policy: Policy) -> AsyncIterator[LocalRuntime]:
    runtime = LocalRuntime(
        RuntimeParts(
            models=Models(upstream_url=None, upstream_key=None, default=SCRIPT),
            backend=backend,
            store=sqlite_store(folder),
            audit=AuditLog(folder / "audit.jsonl"),
            approval=policy,
        )
    )
    try:
        yield runtime
    finally:
        for container in (await runtime.containers.list(limit=100)).data:
            await runtime.containers.delete(container.id)
        await runtime.aclose()


@pytest.fixture
async def runtime(bubblewrap_backend: Backend, tmp_path: Path) -> AsyncIterator[LocalRuntime]:
    async with opened(bubblewrap_backend, tmp_path, ASK) as runtime:
        yield runtime


async def turn(runtime: Runtime, given: Any, previous: Json | None = None, **more: Any) -> Json:
    request = {"input": given, "tools": [SHELL, WEATHER], **more}
    if previous is not None:
        request["previous_response_id"] = previous["id"]
    async with aclosing(runtime.respond(request)) as events:
        return to_json(await afold(events))


def of(response: Json, kind: str) -> list[Json]:
    return [item for item in response["output"] if item["type"] == kind]


def asked(response: Json) -> Json:
    (request,) = of(response, "mcp_approval_request")
    return request


def answer(request: Json, approve: bool = True, **more: Any) -> Json:
    return {
        "type": "mcp_approval_response",
        "approval_request_id": request["id"],
        "approve": approve,
        **more,
    }


def printed(response: Json) -> list[Json]:
    return [content for item in of(response, "shell_call_output") for content in item["output"]]


def said(response: Json) -> str:
    return "".join(part["text"] for item in of(response, "message") for part in item["content"])


async def test_a_call_that_is_asked_about_waits_and_runs_once(runtime: LocalRuntime) -> None:
    first = await turn(runtime, "touch the file")
    assert first["status"] == "completed"
    assert not printed(first)
    request = first["output"][-1]
    (call,) = of(first, "shell_call")
    assert request["type"] == "mcp_approval_request"
    assert request["id"].startswith("mcpr_")
    assert (request["server_label"], request["name"]) == ("agent_kernel", "shell")
    told = json.loads(request["arguments"])
    assert told["commands"] == call["action"]["commands"]
    assert "asks" in told["reason"]

    second = await turn(runtime, [answer(request)], first)
    assert second["output"][0]["call_id"] == call["call_id"]
    assert printed(second)[0]["stdout"].strip() == "1"
    assert said(second) == "It has 1 lines."
    assert second["status"] == "completed"


async def made(runtime: LocalRuntime, previous: Json) -> int:
    """How often the command has run, counted by the caller's own command."""
    count = "cat made.txt 2>/dev/null | wc -l"
    counted = await turn(runtime, count, previous, model="agent_kernel/shell")
    return int(printed(counted)[0]["stdout"])


async def refused(runtime: Runtime, code: str | None, given: Any, previous: Json | None, **more: Any) -> str:
    with pytest.raises(InvalidRequest) as caught:
        await turn(runtime, given, previous, **more)
    assert caught.value.request_code == code
    return caught.value.message


async def test_a_denial_is_told_to_the_model(runtime: LocalRuntime) -> None:
    first = await turn(runtime, "one of each")
    second = await turn(runtime, [answer(asked(first), False, reason="Not today.")], first)
    (content,) = printed(second)
    assert content["stderr"] == "Not run: denied by the person who was asked: Not today."
    assert content["outcome"] == {"type": "exit", "exit_code": 126}
    assert said(second) == "Done."


async def test_an_edited_command_is_what_runs_and_the_model_is_told(runtime: LocalRuntime) -> None:
    first = await turn(runtime, "two at once")
    instead = {"commands": ["echo instead; echo odd >&2; ls"]}
    second = await turn(runtime, [answer(asked(first), agent_kernel=instead)], first)
    (content,) = printed(second)
    assert content["stdout"] == "instead\n"
    odd, told = content["stderr"].splitlines()
    assert odd == "odd"
    assert told == f"[The person changed this before it ran. What ran: {json.dumps(instead['commands'])}]"
    assert second["status"] == "completed"


async def test_a_turn_without_an_answer_runs_nothing(runtime: LocalRuntime) -> None:
    first = await turn(runtime, "touch the file")
    second = await turn(runtime, "how many", first)
    assert await made(runtime, second) == 0
    request = asked(second)  # it asks for its own command
    words = await refused(runtime, "approval_not_open", [answer(asked(first))], second)
    assert "gone on without" in words
    third = await turn(runtime, [answer(request)], second)
    assert said(third) == "0"


async def test_what_a_model_is_told_of_a_call_that_waited(runtime: LocalRuntime, tmp_path: Path) -> None:
    first = await turn(runtime, "touch the file")
    store = sqlite_rows(tmp_path / "store.sqlite")
    history = await Histories(store).of(first["id"])
    await store.aclose()
    call, output, request = join(history, [])[-3:]
    assert (call["type"], request["type"]) == ("shell_call", "mcp_approval_request")
    assert output["output"][0]["stderr"] == UNDECIDED


async def test_an_answer_is_taken_once_in_whatever_branch(runtime: LocalRuntime) -> None:
    first = await turn(runtime, "touch the file")
    request = asked(first)
    second = await turn(runtime, [answer(request)], first)
    await refused(runtime, "approval_already_answered", [answer(request)], first)
    await refused(runtime, "approval_already_answered", [answer(request, False)], first)
    await refused(runtime, "approval_already_answered", [answer(request)], second)
    assert await made(runtime, second) == 1


async def test_of_two_answers_at_once_one_is_taken(runtime: LocalRuntime) -> None:
    first = await turn(runtime, "touch the file")
    tries = [turn(runtime, [answer(asked(first))], first) for _ in range(5)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    taken = [each for each in outcomes if isinstance(each, dict)]
    lost = [each for each in outcomes if isinstance(each, InvalidRequest)]
    assert (len(taken), len(lost)) == (1, 4)
    assert {each.request_code for each in lost} == {"approval_already_answered"}
    assert await made(runtime, taken[0]) == 1


async def test_wrong_answers_change_nothing(runtime: LocalRuntime) -> None:
    first, other = await turn(runtime, "touch the file"), await turn(runtime, "touch the file")
    request = asked(first)
    await refused(runtime, "approval_not_found", [answer({"id": "mcpr_unknown"})], first)
    await refused(runtime, "approval_not_found", [answer(request)], other)
    await refused(runtime, "approval_not_found", [answer(request)], None)
    await refused(runtime, "approval_answered_twice", [answer(request), answer(request)], first)
    await refused(runtime, None, [answer(request)], first, tools=[])
    await refused(runtime, None, [answer(request)], first, tools=[LOCAL])
    await refused(runtime, None, [answer(request)], first, generate=False)
    mistakes: list[Json] = [
        {"approve": "yes"},
        {"approval_request_id": 7},
        {"reason": 7},
        {"agent_kernel": 7},
        {"agent_kernel": {"commands": "ls"}},
        {"agent_kernel": {"commands": []}},
        {"agent_kernel": {"commands": [" "]}},
        {"approve": False, "agent_kernel": {"commands": ["ls"]}},
    ]
    for wrong in mistakes:
        await refused(runtime, None, [{**answer(request), **wrong}], first)
    second = await turn(runtime, [answer(request)], first)
    assert printed(second)[0]["stdout"].strip() == "1"


async def test_functions_of_the_client_are_answered_with_it(runtime: LocalRuntime) -> None:
    first = await turn(runtime, "and the weather")
    assert [item["type"] for item in first["output"]] == [
        "shell_call",
        "function_call",
        "mcp_approval_request",
    ]
    (call,) = of(first, "function_call")
    weather = {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
    await refused(runtime, None, [answer(asked(first))], first)  # the function's output is missing
    second = await turn(runtime, [weather, answer(asked(first))], first)
    assert said(second) == "It is sunny."
    assert await made(runtime, second) == 1


async def test_what_was_not_stored_cannot_wait(runtime: LocalRuntime) -> None:
    response = await turn(runtime, "two at once", store=False)
    assert not of(response, "mcp_approval_request")
    assert "with store false" in printed(response)[0]["stderr"]
    assert response["status"] == "completed"


async def test_a_connection_remembers_what_was_not_stored(runtime: LocalRuntime) -> None:
    session = runtime.session()

    async def say(given: Any, previous: str | None = None) -> Json:
        request = {"input": given, "tools": [SHELL], "store": False, "previous_response_id": previous}
        events: Any = session.respond(request)
        async with aclosing(events):
            return to_json(await afold(events))

    first = await say("touch the file")
    second = await say([answer(asked(first))], first["id"])
    assert said(second) == "It has 1 lines."
    with pytest.raises(InvalidRequest) as caught:
        await say([answer(asked(first))], first["id"])
    assert caught.value.request_code == "approval_already_answered"


async def test_a_conversation_goes_on_with_an_answer(runtime: LocalRuntime) -> None:
    conversation = (await runtime.conversations.create({})).id
    first = await turn(runtime, "touch the file", conversation=conversation)
    second = await turn(runtime, [answer(asked(first))], conversation=conversation)
    assert said(second) == "It has 1 lines."
    await refused(
        runtime, "approval_already_answered", [answer(asked(first))], None, conversation=conversation
    )


async def test_in_the_background(runtime: LocalRuntime) -> None:
    first = await turn(runtime, "touch the file", background=True)
    second = await turn(runtime, [answer(asked(first))], first, background=True)
    assert said(second) == "It has 1 lines."
    await refused(runtime, "approval_already_answered", [answer(asked(first))], first, background=True)


async def test_a_request_can_be_stricter_and_not_looser(bubblewrap_backend: Backend, tmp_path: Path) -> None:
    operator = Policy("allow", (Rule("deny", "touch *", reason="Nothing is touched here."),))
    async with opened(bubblewrap_backend, tmp_path, operator) as runtime:
        denied = await turn(runtime, "two at once", agent_kernel={"approval": "auto"})
        assert [c["stderr"] for c in printed(denied)] == ["Not run: Nothing is touched here."] * 2
        first = await turn(runtime, "touch the file", agent_kernel={"approval": "ask"})
        instead = {"commands": ["touch anything"]}
        second = await turn(runtime, [answer(asked(first), agent_kernel=instead)], first)
        assert printed(second)[0]["stderr"] == "Not run: Nothing is touched here."
        own = await turn(runtime, "touch x", model="agent_kernel/shell")
        assert printed(own)[0]["stderr"] == "Not run: Nothing is touched here."
        await refused(runtime, None, "two at once", None, agent_kernel={"approval": "maybe"})
        await refused(runtime, None, "two at once", None, agent_kernel=[])


async def test_calls_that_need_no_answer_run_at_once(bubblewrap_backend: Backend, tmp_path: Path) -> None:
    async with opened(bubblewrap_backend, tmp_path, Policy("allow", (Rule("ask", "made.txt"),))) as runtime:
        free = await turn(runtime, "one of each")
        assert printed(free)[0]["stdout"] == "free\n"
        assert asked(await turn(runtime, "touch the file"))


async def test_it_survives_a_restart_and_stands_in_the_audit_log(
    bubblewrap_backend: Backend, tmp_path: Path
) -> None:
    async with opened(bubblewrap_backend, tmp_path, ASK) as runtime:
        first = await turn(runtime, "touch the file")
        again = LocalRuntime(
            RuntimeParts(
                models=Models(upstream_url=None, upstream_key=None, default=SCRIPT),
                backend=bubblewrap_backend,
                store=sqlite_store(tmp_path),
                audit=AuditLog(tmp_path / "audit.jsonl"),
                approval=ASK,
            )
        )
        second = await turn(again, [answer(asked(first), reason="fine")], first)
        await refused(runtime, "approval_already_answered", [answer(asked(first))], first)
        assert said(second) == "It has 1 lines."
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    (request,) = [line for line in lines if line["event"] == "approval.request"]
    (decided,) = [line for line in lines if line["event"] == "approval"]
    assert request["approval"] == decided["approval"] == asked(first)["id"]
    assert (decided["approved"], decided["edited"], decided["reason"]) == (True, False, "fine")
    assert (request["response"], decided["response"]) == (first["id"], second["id"])


async def test_a_turn_that_is_left_with_an_answer_runs_nothing_again(runtime: LocalRuntime) -> None:
    first = await turn(runtime, "for a long time")
    request = {"input": [answer(asked(first))], "tools": [SHELL], "previous_response_id": first["id"]}
    async with aclosing(runtime.respond(request)) as events:
        async for event in events:
            if event.type == "response.created":
                left = event.response.id
            if event.type == "response.output_item.added":
                break
    await refused(runtime, "approval_already_answered", [answer(asked(first))], first)
    kept = to_json(await runtime.retrieve(left))
    assert kept["status"] == "incomplete"
    (output,) = of(kept, "shell_call_output")
    assert output["call_id"] == of(first, "shell_call")[0]["call_id"]
    assert await made(runtime, kept) <= 1


async def test_a_conversation_that_is_sent_again_is_answered_too(runtime: LocalRuntime) -> None:
    user: Json = {"type": "message", "role": "user", "content": "touch the file"}
    first = await turn(runtime, [user])
    whole = [user, *first["output"], answer(asked(first))]
    second = await turn(runtime, whole)
    assert said(second) == "It has 1 lines."
    await refused(runtime, "approval_already_answered", whole, None)
    third = await turn(runtime, [*whole, *second["output"], {**user, "content": "how many"}])
    assert asked(third)  # what was answered before is part of the conversation, and no answer
    forged = [{**item, "id": "mcpr_forged"} if item is first["output"][-1] else item for item in whole[:-1]]
    await refused(runtime, "approval_not_found", [*forged, answer({"id": "mcpr_forged"})], None)


async def test_requests_of_other_tools_are_no_business_of_ours(runtime: LocalRuntime) -> None:
    theirs = {"type": "mcp_approval_request", "id": "mcpr_theirs", "server_label": "x", "name": "y"}
    items = [{**theirs, "arguments": "{}"}, answer(theirs), {"role": "user", "content": "two at once"}]
    assert asked(await turn(runtime, items))


async def test_another_key_cannot_answer(runtime: LocalRuntime, tmp_path: Path) -> None:
    ours, theirs = runtime.for_key(Key("ours")), runtime.for_key(Key("theirs"))
    first = await turn(ours, "touch the file")
    with pytest.raises(InvalidRequest) as caught:
        await turn(theirs, [answer(asked(first))], first)
    assert caught.value.request_code == "previous_response_not_found"
    await refused(theirs, "approval_not_found", [*first["output"], answer(asked(first))], None)
    second = await turn(ours, [answer(asked(first))], first)
    assert said(second) == "It has 1 lines."
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [line["by"] for line in lines if line["event"] == "approval"] == ["ours"]
    await ours.containers.delete(of(first, "shell_call")[0]["environment"]["container_id"])


async def test_a_steering_message_waits_for_the_answer(runtime: LocalRuntime) -> None:
    session = runtime.session()
    events = []
    async with aclosing(session.respond({"input": "touch the file", "tools": [SHELL]})) as stream:
        async for event in stream:
            events.append(event)
            if event.type == "response.created":
                response_id = event.response.id
            if event.type == "response.output_item.done" and event.item.type == "mcp_approval_request":
                request = event.item.id
                assert (await session.steer(response_id, "and hurry")).type == "response.steer.accepted"
    assert events[-2].type == "response.completed"
    pending = to_json(events[-1])
    assert pending["type"] == "response.steer.pending"
    assert pending["required_input"] == [{"type": "mcp_approval_response", "approval_request_id": request}]


async def test_each_sandbox_runs_it_once(backend: Backend, tmp_path: Path) -> None:
    async with opened(backend, tmp_path, ASK) as runtime:
        first = await turn(runtime, "two at once")
        instead = {"commands": ["echo a", "echo b >> made.txt"]}
        second = await turn(runtime, [answer(asked(first), agent_kernel=instead)], first)
        assert [content["stdout"] for content in printed(second)] == ["a\n", ""]
        assert await made(runtime, second) == 1


async def test_a_container_that_is_gone_takes_its_approvals_with_it(
    bubblewrap_backend: Backend, tmp_path: Path
) -> None:
    async with opened(bubblewrap_backend, tmp_path, ASK) as runtime:
        first = await turn(runtime, "one of each")
        await runtime.containers.delete(of(first, "shell_call")[0]["environment"]["container_id"])
        second = await turn(runtime, [answer(asked(first))], first)
        assert "a container that is gone" in printed(second)[0]["stderr"]
        assert said(second) == "Done."


async def test_over_http_as_in_this_process(runtime: LocalRuntime) -> None:
    async with served(runtime, "secret") as url:
        remote = RemoteRuntime(url, "secret")
        first = await turn(remote, "two at once", agent_kernel={"approval": "ask"})
        assert first["agent_kernel"]["approval"]["default"] == "ask"
        instead = {"commands": ["echo instead"]}
        second = await turn(remote, [answer(asked(first), agent_kernel=instead)], first)
        assert printed(second)[0]["stdout"] == "instead\n"
        await refused(remote, "approval_already_answered", [answer(asked(first))], first)
        await remote.aclose()


async def test_what_a_model_is_told(
    upstream: Upstream, bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> None:
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path) as runtime:
        say = partial(turn, runtime, agent_kernel={"approval": "ask"})
        upstream.says(call(0, "shell", {"commands": ["echo yes"]}), finish="tool_calls")
        first = await say("Go.")
        hurry: Json = {"type": "message", "role": "user", "content": "Hurry."}
        upstream.says({"content": "I have be"}, whole=False)
        second = await say([hurry, answer(asked(first))], first)
        assert second["status"] == "failed"
        told = upstream.requests[-1]["messages"]
        assert [message["role"] for message in told] == ["user", "assistant", "tool", "user"]
        assert "yes" in told[2]["content"]

        upstream.says({"content": "I see."})
        await say("And?", first)
        told = upstream.requests[-1]["messages"]
        assert [message["role"] for message in told] == ["user", "assistant", "tool", "user"]
        assert ELSEWHERE in told[2]["content"]
        upstream.says({"content": "I see."})
        await say("And?", second)
        assert "yes" in upstream.requests[-1]["messages"][2]["content"]
