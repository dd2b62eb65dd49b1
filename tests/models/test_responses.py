"""The Responses dialect: what is sent, what the stream means, and what is learned from refusals."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from agent_kernel.errors import UpstreamInterrupted, UpstreamRefused
from agent_kernel.models.responses import ResponsesModel
from agent_kernel.models.retry import RetryPolicy
from agent_kernel.models.upstream import Upstream
from agent_kernel.protocol.calls import RejectedCall
from agent_kernel.protocol.deltas import (
    ItemBreak,
    ModelDelta,
    ReasoningDelta,
    ReasoningOpaque,
    RefusalDelta,
    TextDelta,
    Truncated,
    Usage,
)
from tests.tools.made import function_delta, is_shell_delta, model_request, shell_delta, shell_done

USER = {"role": "user", "content": "Hi"}
ACTION = {"commands": ["ls", "pwd"], "timeout_ms": 9, "max_output_length": None}
SHELL_CALL = {"type": "shell_call", "id": "sh_1", "call_id": "c1", "status": "completed", "action": ACTION}
CONTENT = {"stdout": "x", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}
SHELL_OUTPUT = {
    "type": "shell_call_output",
    "id": "sho_1",
    "call_id": "c1",
    "output": [CONTENT],
    "max_output_length": 5,
}
FUNCTION_CALL = {"type": "function_call", "id": "fc", "call_id": "c2", "name": "plot", "arguments": "{}"}

Make = Callable[[bool], ResponsesModel]


@pytest.fixture
async def make(upstream: Any) -> AsyncIterator[Make]:
    made: list[ResponsesModel] = []

    def one(native: bool) -> ResponsesModel:
        made.append(ResponsesModel(Upstream(upstream.url, "sk-secret", retry=RetryPolicy(0)), native=native))
        return made[-1]

    yield one
    for body in made:
        await body.aclose()


async def said(model: ResponsesModel, *items: dict[str, Any], **fields: Any) -> list[ModelDelta]:
    request = model_request(fields.pop("name", "m"), items or [USER], **fields)
    return [delta async for delta in model.stream(request) if not isinstance(delta, ItemBreak)]


def event(kind: str, index: int = 0, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "output_index": index, "sequence_number": 0, **fields}


def end(status: str = "completed", **fields: Any) -> dict[str, Any]:
    response = {"id": "r", "status": status, "output": [], "usage": None, **fields}
    return {"type": f"response.{status}", "sequence_number": 0, "response": response}


async def test_a_recorded_native_stream(make: Make, upstream: Any) -> None:
    open_call = {**SHELL_CALL, "status": "in_progress", "action": {**ACTION, "commands": []}}
    reasoning = {"type": "reasoning", "id": "rs_up", "summary": [], "encrypted_content": "blob"}
    usage = {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 14,
    }
    summary: dict[str, Any] = {"item_id": "rs_up", "summary_index": 0}
    upstream.says(
        {"type": "response.created", "sequence_number": 0, "response": {"id": "r", "output": []}},
        event("output_item.added", item={"type": "reasoning", "id": "rs_up", "summary": []}),
        event("reasoning_summary_part.added", **summary, part={"type": "summary_text", "text": ""}),
        event("reasoning_summary_text.delta", **summary, delta="Hm"),
        event("reasoning_summary_text.done", **summary, text="Hm"),
        event("reasoning_summary_text.delta", **{**summary, "summary_index": 1}, delta="And"),
        event("output_item.done", item=reasoning),
        event("output_item.added", 1, item=open_call),
        event("shell_call_command.added", 1, command_index=0, command=""),
        event("shell_call_command.delta", 1, command_index=0, delta="ls"),
        event("shell_call_command.done", 1, command_index=0, command="ls"),
        event("shell_call_command.added", 1, command_index=1, command=""),
        event("shell_call_command.delta", 1, command_index=1, delta="pwd"),
        event("output_item.done", 1, item=SHELL_CALL),
        end(usage=usage),
    )
    deltas = await said(make(True))
    opaque = next(delta for delta in deltas if isinstance(delta, ReasoningOpaque))
    assert [delta for delta in deltas if delta is not opaque] == [
        ReasoningDelta("Hm", part=0),
        ReasoningDelta("And", part=1),
        shell_delta("c1", 0, ""),
        shell_delta("c1", 0, "ls"),
        shell_delta("c1", 1, ""),
        shell_delta("c1", 1, "pwd"),
        shell_done("c1", ("ls", "pwd"), timeout_ms=9),
        Usage(9, 5, cached_tokens=4, reasoning_tokens=2),
    ]
    body = upstream.requests[0]
    assert body["tools"] == [{"type": "shell", "environment": {"type": "local"}}]
    assert body["store"] is False
    assert body["include"] == ["reasoning.encrypted_content"]


async def test_text_refusal_and_the_clients_functions(make: Make, upstream: Any) -> None:
    place: dict[str, Any] = {"item_id": "i", "content_index": 0}
    open_call = {**FUNCTION_CALL, "arguments": ""}
    upstream.says(
        event("output_item.added", item={"type": "message", "id": "i", "role": "assistant", "content": []}),
        event("output_text.delta", **place, delta="Hi", logprobs=[]),
        event("refusal.delta", **place, delta="No"),
        event("output_item.added", 1, item=open_call),
        event("function_call_arguments.delta", 1, item_id="fc", delta="{"),
        event("function_call_arguments.delta", 1, item_id="fc", delta="}"),
        event("output_item.done", 1, item=FUNCTION_CALL),
        event("reasoning_text.delta", 2, item_id="r", content_index=0, delta="raw"),
        {"type": "response.something_new", "sequence_number": 0},
        end(),
    )
    assert await said(make(False), functions=[{"type": "function", "name": "plot"}]) == [
        TextDelta("Hi"),
        RefusalDelta("No"),
        function_delta("c2", "plot", "{"),
        function_delta("c2", "plot", "}"),
        ReasoningDelta("raw"),
    ]
    assert "include" not in upstream.requests[0]


async def test_the_shell_as_a_function(make: Make, upstream: Any) -> None:
    call = {**FUNCTION_CALL, "name": "shell", "arguments": '{"commands":["ls"]}'}
    delta = event("function_call_arguments.delta", item_id="fc", delta='{"commands":["l')
    upstream.says(
        event("output_item.added", item={**call, "arguments": ""}),
        delta,
        event("output_item.done", item=call),
        end(),
    )
    deltas = await said(make(False), settings={"tool_choice": {"type": "shell"}, "temperature": 0.5})
    assert deltas == [shell_delta("c2", 0, "l"), shell_done("c2", ("ls",))]
    body = upstream.requests[0]
    assert (body["tools"][0]["type"], body["tools"][0]["name"]) == ("function", "shell")
    assert body["tool_choice"] == {"type": "function", "name": "shell"}
    assert body["temperature"] == 0.5


async def test_calls_that_are_written_at_once(make: Make, upstream: Any) -> None:
    def call(index: int, name: str, arguments: str, status: str = "completed") -> dict[str, Any]:
        fields = {"call_id": f"c{index}", "name": name, "arguments": arguments, "status": status}
        return {"type": "function_call", "id": f"fc_{index}", **fields}

    pieces = {1: ['{"commands": ["l', 's"]}'], 2: ['{"city":', ' "Oslo"}'], 3: ['{"commands": ', '"pwd"}']}
    names = {1: "shell", 2: "weather", 3: "shell"}
    wholes = {index: call(index, names[index], "".join(pieces[index])) for index in names}
    upstream.says(
        event("output_text.delta", 0, delta="Look."),
        *(event("output_item.added", index, item=call(index, names[index], "")) for index in names),
        *(event("function_call_arguments.delta", index, delta=pieces[index][0]) for index in names),
        *(event("function_call_arguments.delta", index, delta=pieces[index][1]) for index in names),
        *(event("output_item.done", index, item=wholes[index]) for index in (2, 3, 1)),
        end(),
    )
    deltas = await said(make(False), functions=[{"type": "function", "name": "weather", "parameters": {}}])
    assert [delta for delta in deltas if not is_shell_delta(delta)] == [
        TextDelta("Look."),
        shell_done("c1", ("ls",)),
        function_delta("c2", "weather", '{"city":'),
        function_delta("c2", "weather", ' "Oslo"}'),
        shell_done("c3", ("pwd",)),
    ]
    shown = [delta.call_id for delta in deltas if is_shell_delta(delta)]
    assert shown == sorted(shown)


async def test_a_call_that_is_never_done_holds_nothing_back_for_ever(make: Make, upstream: Any) -> None:
    added = {**FUNCTION_CALL, "arguments": "", "status": "in_progress"}
    upstream.says(
        event("output_item.added", 0, item=added),
        event("function_call_arguments.delta", 0, delta="{}"),
        event("output_text.delta", 1, delta="Yes."),
        end(),
    )
    assert await said(make(False)) == [function_delta("c2", "plot", "{}"), TextDelta("Yes.")]


async def test_the_conversation_for_a_native_upstream(make: Make, upstream: Any) -> None:
    upstream.responds()
    text = {"type": "output_text", "text": "ok", "annotations": [{"type": "container_file_citation"}]}
    await said(
        make(True),
        USER,
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]},
        {"type": "reasoning", "id": "rs_ours", "summary": [], "encrypted_content": None},
        SHELL_CALL,
        SHELL_OUTPUT,
        FUNCTION_CALL,  # never answered
        {"type": "mcp_approval_request", "id": "a"},
        instructions="Be brief.",
    )
    body = upstream.requests[0]
    assert body["instructions"] == "Be brief."
    assert body["input"] == [
        {"type": "message", "role": "user", "content": "Hi"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok"}]},
        {
            "type": "shell_call",
            "call_id": "c1",
            "action": ACTION,
            "status": "completed",
            "environment": {"type": "local"},
        },
        {"type": "shell_call_output", "call_id": "c1", "output": [CONTENT], "max_output_length": 5},
    ]


async def test_the_conversation_for_an_upstream_without_the_shell(make: Make, upstream: Any) -> None:
    upstream.responds()
    answer = {"type": "function_call_output", "id": "o", "call_id": "c2", "output": "done"}
    await said(make(False), USER, SHELL_CALL, SHELL_OUTPUT, FUNCTION_CALL, answer)
    arguments = '{"commands": ["ls", "pwd"], "timeout_ms": 9}'
    assert upstream.requests[0]["input"][1:] == [
        {"type": "function_call", "call_id": "c1", "name": "shell", "arguments": arguments},
        {"type": "function_call_output", "call_id": "c1", "output": json.dumps([CONTENT])},
        {"type": "function_call", "call_id": "c2", "name": "plot", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c2", "output": "done"},
    ]


async def reasoning_of(model: ResponsesModel, upstream: Any) -> dict[str, Any]:
    item = {"type": "reasoning", "id": "rs_up", "summary": [], "encrypted_content": "blob"}
    upstream.responds(item)
    (opaque,) = await said(model)
    assert isinstance(opaque, ReasoningOpaque)
    return {**item, "id": "rs_ours", "encrypted_content": opaque.encrypted_content}


async def test_encrypted_reasoning_goes_back_under_the_upstreams_id(make: Make, upstream: Any) -> None:
    model = make(True)
    item = await reasoning_of(model, upstream)
    upstream.responds()
    await said(model, USER, item)
    assert upstream.requests[-1]["input"][-1] == {
        "type": "reasoning",
        "id": "rs_up",
        "summary": [],
        "encrypted_content": "blob",
    }


async def test_encrypted_reasoning_of_another_model_stays_at_home(make: Make, upstream: Any) -> None:
    model = make(True)
    item = await reasoning_of(model, upstream)
    upstream.responds()
    await said(model, USER, item, name="another")
    assert [i["type"] for i in upstream.requests[-1]["input"]] == ["message"]


async def test_a_clients_own_encrypted_reasoning_is_passed_on(make: Make, upstream: Any) -> None:
    upstream.responds()
    item = {"type": "reasoning", "id": "rs_theirs", "summary": [], "encrypted_content": "gAAA"}
    await said(make(True), USER, item)
    assert upstream.requests[-1]["input"][-1] == item


async def test_what_cannot_be_verified_is_left_out_once(make: Make, upstream: Any) -> None:
    model = make(True)
    item = {"type": "reasoning", "id": "rs_theirs", "summary": [], "encrypted_content": "gAAA"}
    upstream.refuses(400, "The encrypted content gAAA could not be verified.")
    upstream.responds()
    upstream.responds()
    await said(model, USER, item)
    await said(model, USER, item)
    assert [len(body["input"]) for body in upstream.requests] == [2, 1, 2]


async def test_a_refused_shell_tool_becomes_a_function_and_stays_one(make: Make, upstream: Any) -> None:
    model = make(True)
    upstream.refuses(400, "Tool 'shell' is not supported with m.", param="tools")
    upstream.responds({**FUNCTION_CALL, "name": "shell", "arguments": '{"commands":["ls"]}'})
    upstream.responds()
    assert await said(model) == [shell_done("c2", ("ls",))]
    await said(model)
    assert [body["tools"][0]["type"] for body in upstream.requests] == ["shell", "function", "function"]
    upstream.responds()
    await said(model, name="another")
    assert upstream.requests[-1]["tools"][0]["type"] == "shell"


async def test_a_model_that_does_not_reason_is_not_asked_to_encrypt(make: Make, upstream: Any) -> None:
    model = make(True)
    upstream.refuses(400, "Encrypted content is not supported with this model.", param="include")
    upstream.responds()
    upstream.responds()
    await said(model)
    await said(model)
    assert ["include" in body for body in upstream.requests] == [True, False, False]
    assert all(body["tools"][0]["type"] == "shell" for body in upstream.requests)


async def test_other_refusals_are_final(make: Make, upstream: Any) -> None:
    upstream.refuses(400, "Unsupported parameter: temperature", param="temperature")
    with pytest.raises(UpstreamRefused, match="temperature"):
        await said(make(True))
    upstream.refuses(422, "input: wrong")
    with pytest.raises(UpstreamRefused, match="input: wrong"):
        await said(make(False))


async def test_being_cut_off(make: Make, upstream: Any) -> None:
    call = {**FUNCTION_CALL, "name": "shell", "status": "incomplete", "arguments": '{"comm'}
    details = {"incomplete_details": {"reason": "content_filter"}}
    upstream.responds(call, status="incomplete", **details)
    assert await said(make(False)) == [Truncated("content_filter")]


async def test_failures_in_the_stream(make: Make, upstream: Any) -> None:
    error = {"code": "server_error", "message": "Out of luck, sk-secret."}
    upstream.responds(status="failed", error=error)
    with pytest.raises(UpstreamInterrupted, match=r"Out of luck, \*\*\*\."):
        await said(make(False))
    upstream.says({"type": "error", "sequence_number": 1, "error": error})
    with pytest.raises(UpstreamInterrupted, match="Out of luck"):
        await said(make(False))
    upstream.says({"type": "error", "sequence_number": 1, **error})
    with pytest.raises(UpstreamInterrupted, match="Out of luck"):
        await said(make(False))
    upstream.says(event("output_text.delta", item_id="i", content_index=0, delta="Hi", logprobs=[]))
    with pytest.raises(UpstreamInterrupted, match="without a closing event"):
        await said(make(False))


async def test_malformed_arguments(make: Make, upstream: Any) -> None:
    upstream.responds({**FUNCTION_CALL, "name": "shell", "arguments": '{"commands": 3}'})
    (rejected,) = await said(make(False))
    assert isinstance(rejected, RejectedCall)
    assert "commands" in rejected.why


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        [{"type": "output_text", "text": None, "annotations": []}],
        [{"type": "refusal", "refusal": None}],
    ],
)
async def test_message_without_content_is_empty(make: Make, upstream: Any, content: Any) -> None:
    silent = {"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": content}
    words = [{"type": "output_text", "text": "Hi", "annotations": []}]
    upstream.responds(silent, {**silent, "id": "m2", "content": words})
    deltas = await said(make(False))
    assert [delta for delta in deltas if getattr(delta, "text", None)] == [TextDelta("Hi")]
