"""Approvals beyond one chain: conversations, restarts, other keys, sandboxes and runtimes."""

from __future__ import annotations

import json
from contextlib import aclosing
from functools import partial
from pathlib import Path

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.keys import Key
from agent_kernel.models.catalogue import Models
from agent_kernel.policy.rules import Policy, Rule
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.approvals.items import ELSEWHERE
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.runtime.remote.runtime import RemoteRuntime
from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.store.sqlite.store import sqlite_store
from tests.runtime.approvals.asking import (
    ASK,
    SCRIPT,
    SHELL,
    Json,
    answer,
    asked,
    made,
    of,
    opened,
    printed,
    refused,
    said,
    turn,
)
from tests.runtime.conftest import served
from tests.runtime.played import Upstream, call, runtime_on


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
