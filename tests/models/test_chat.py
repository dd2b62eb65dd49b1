"""The Chat Completions dialect: what is sent, and what the stream means."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agent_kernel.errors import UpstreamInterrupted, UpstreamRefused
from agent_kernel.models.chat import ChatModel
from agent_kernel.models.retry import RetryPolicy
from agent_kernel.models.upstream import Upstream
from agent_kernel.protocol.assembler import Assembler
from agent_kernel.protocol.calls import CallDone, RejectedCall
from agent_kernel.protocol.deltas import (
    ItemBreak,
    ModelDelta,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    Truncated,
    Usage,
)
from agent_kernel.protocol.response import new_response
from tests.tools.made import function_delta, is_shell_delta, model_request, shell_delta, shell_done

PLOT = {
    "type": "function",
    "name": "plot",
    "description": "Plot.",
    "parameters": {"type": "object"},
    "strict": True,
}


@pytest.fixture
async def model(upstream: Any) -> AsyncIterator[ChatModel]:
    body = ChatModel(Upstream(upstream.url, "sk-secret", retry=RetryPolicy(0)))
    yield body
    await body.aclose()


async def said(model: ChatModel, *items: dict[str, Any], **fields: Any) -> list[ModelDelta]:
    request = model_request("m", items or [{"role": "user", "content": "Hi"}], **fields)
    # What is shown of a call while it is written is another test's affair.
    said = [delta async for delta in model.stream(request) if not isinstance(delta, ItemBreak)]
    return [delta for delta in said if not is_shell_delta(delta)]


def tool(index: int | None, name: str | None, arguments: str, id: str | None = None) -> dict[str, Any]:  # noqa: A002
    call: dict[str, Any] = {"function": {"name": name, "arguments": arguments}, "type": "function"}
    return {"tool_calls": [call | ({} if index is None else {"index": index}) | ({"id": id} if id else {})]}


async def test_text_reasoning_refusal_and_usage(model: ChatModel, upstream: Any) -> None:
    upstream.chats(
        {"role": "assistant", "content": "", "reasoning_content": "Hm"},
        {"reasoning": "m."},
        {"content": "Hel"},
        {"content": "lo"},
        {"refusal": "No"},
        usage={
            "prompt_tokens": 7,
            "completion_tokens": 3,
            "total_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
    )
    assert await said(model) == [
        ReasoningDelta("Hm"),
        ReasoningDelta("m."),
        TextDelta("Hel"),
        TextDelta("lo"),
        RefusalDelta("No"),
        Usage(7, 3, cached_tokens=2, reasoning_tokens=1),
    ]
    assert upstream.keys == ["Bearer sk-secret"]
    assert upstream.paths == ["/v1/chat/completions"]


async def test_parallel_calls_in_the_ways_that_servers_cut_them(model: ChatModel, upstream: Any) -> None:
    upstream.chats(
        tool(0, "shell", "", "a"),
        tool(0, None, '{"commands":["ls"],'),
        tool(0, None, '"timeout_ms":5.0}'),
        tool(1, "plot", '{"x":', "b"),
        tool(1, None, "1}"),
        finish="tool_calls",
    )
    expected: list[ModelDelta] = [
        shell_done("a", ("ls",), timeout_ms=5),
        function_delta("b", "plot", '{"x":1}'),
    ]
    assert await said(model, functions=[PLOT]) == expected
    # Each call whole, and all under index 0.
    upstream.chats(
        tool(0, "shell", '{"commands":["ls"],"timeout_ms":5}', "a"),
        tool(0, "plot", '{"x":1}', "b"),
        finish="stop",
    )
    assert await said(model, functions=[PLOT]) == expected


async def test_a_shell_call_is_shown_while_it_is_written(model: ChatModel, upstream: Any) -> None:
    upstream.chats(
        {"content": "So: "},
        tool(0, "shell", '{"commands":["ls', "a"),
        {"content": "\n"},  # some servers' parsers leave such things behind
        tool(1, "plot", "{", "b"),
        tool(0, None, ' -l"]}'),
        tool(1, None, "}"),
        finish="tool_calls",
    )
    request = model_request("m", [{"role": "user", "content": "x"}], functions=[PLOT])
    assert [delta async for delta in model.stream(request)] == [
        TextDelta("So: "),
        shell_delta("a", 0, "ls"),
        shell_delta("a", 0, " -l"),
        shell_done("a", ("ls -l",)),
        ItemBreak(),
        function_delta("b", "plot", "{}"),
        TextDelta("\n"),
    ]


async def test_ids_that_are_missing_or_used_before_are_replaced(model: ChatModel, upstream: Any) -> None:
    upstream.chats(
        tool(0, "shell", '{"commands":"ls"}', "call_0"),
        tool(1, "shell", '{"commands":["ls"]}'),
        finish="tool_calls",
    )
    call = {"type": "shell_call", "call_id": "call_0", "action": {"commands": ["pwd"]}}
    output = {"type": "shell_call_output", "call_id": "call_0", "output": []}
    calls = await said(model, {"role": "user", "content": "x"}, call, output)
    ids = [delta.call_id for delta in calls if isinstance(delta, CallDone)]
    assert len({*ids, "call_0"}) == 3
    assert all(ids)


async def test_the_conversation_becomes_messages(model: ChatModel, upstream: Any) -> None:
    upstream.chats({"content": "ok"})
    action = {"commands": ["ls"], "timeout_ms": 9, "max_output_length": None}
    content = {"stdout": "é\n", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}
    await said(
        model,
        {"role": "developer", "content": "Be kind."},
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}],
        },
        {"type": "reasoning", "id": "rs", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Look:"}]},
        {"type": "shell_call", "call_id": "c1", "action": action},
        {"type": "function_call", "call_id": "c2", "name": "plot", "arguments": "{}"},
        {"type": "function_call", "call_id": "left over", "name": "plot", "arguments": "{"},
        {"type": "shell_call_output", "call_id": "c1", "output": [content]},
        {"type": "function_call_output", "call_id": "c2", "output": "done"},
        {"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AA"}]},
        instructions="Be brief.",
        functions=[PLOT],
    )
    arguments = '{"commands": ["ls"], "timeout_ms": 9}'
    assert upstream.requests[0]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "a\nb"},
        {
            "role": "assistant",
            "content": "Look:",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "shell", "arguments": arguments}},
                {"id": "c2", "type": "function", "function": {"name": "plot", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": json.dumps([content], ensure_ascii=False)},
        {"role": "tool", "tool_call_id": "c2", "content": "done"},
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}],
        },
    ]


async def test_tools_and_settings_are_translated(model: ChatModel, upstream: Any) -> None:
    upstream.chats({"content": "ok"})
    schema = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}
    settings = {
        "temperature": 0,
        "max_output_tokens": 5,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"format": schema},
        "tool_choice": {"type": "shell"},
        "parallel_tool_calls": False,
    }
    await said(model, functions=[PLOT], settings=settings)
    body = upstream.requests[0]
    assert [t["function"]["name"] for t in body["tools"]] == ["shell", "plot"]
    assert body["tools"][1]["function"]["strict"] is True
    assert body["tool_choice"] == {"type": "function", "function": {"name": "shell"}}
    assert (body["temperature"], body["max_tokens"], body["reasoning_effort"]) == (0, 5, "low")
    assert body["parallel_tool_calls"] is False
    assert body["response_format"]["json_schema"] == {
        "name": "n",
        "schema": {"type": "object"},
        "strict": True,
    }
    assert body["stream_options"] == {"include_usage": True}


async def test_no_tools_no_tool_settings(model: ChatModel, upstream: Any) -> None:
    upstream.chats({"content": "ok"})
    await said(model, shell=False, settings={"tool_choice": "auto", "parallel_tool_calls": True})
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(upstream.requests[0])


async def test_a_function_of_the_clients_called_shell_stays_the_clients(
    model: ChatModel, upstream: Any
) -> None:
    upstream.chats(tool(0, "shell", "{}", "a"), tool(1, "agent_kernel_shell", '{"commands":["ls"]}', "b"))
    calls = await said(model, functions=[{**PLOT, "name": "shell"}])
    assert calls == [function_delta("a", "shell", "{}"), shell_done("b", ("ls",))]


async def test_a_server_that_knows_no_stream_options(model: ChatModel, upstream: Any) -> None:
    upstream.refuses(400, "Unknown field: stream_options")
    upstream.chats({"content": "ok"})
    upstream.chats({"content": "ok"})
    assert await said(model) == [TextDelta("ok")]
    assert await said(model) == [TextDelta("ok")]
    assert ["stream_options" in body for body in upstream.requests] == [True, False, False]


async def test_being_cut_off_inside_a_shell_call(model: ChatModel, upstream: Any) -> None:
    upstream.chats({"content": "So"}, tool(0, "shell", '{"commands":["rm -r', "a"), finish="length")
    assert await said(model) == [TextDelta("So"), Truncated("max_output_tokens")]


async def test_stream_cut_in_function_call_leaves_incomplete_item(model: ChatModel, upstream: Any) -> None:
    upstream.chats(tool(0, "plot", '{"x"', "a"), finish="length")
    assembler = Assembler(new_response({}, id="r", model="m", tools=[], created_at=0))
    assembler.begin()
    request = model_request("m", [{"role": "user", "content": "x"}], functions=[PLOT])
    async for delta in model.stream(request):
        assembler.feed(delta)
    assembler.end_step()
    assert assembler.client_calls() == []
    (item,) = assembler.response.output
    assert item.type == "function_call"
    assert item.status == "incomplete"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ('{"commands": [', "not JSON"),
        ("[]", "not an object"),
        ('{"commands": []}', "list of strings"),
        ('{"cmd": "ls"}', "list of strings"),
        ('{"commands": [1]}', "list of strings"),
        ('{"commands": ["ls"], "timeout_ms": "soon"}', "timeout_ms"),
        ('{"commands": ["ls"], "timeout_ms": Infinity}', "timeout_ms"),
        ('{"commands": ["ls"], "max_output_length": true}', "max_output_length"),
    ],
)
async def test_malformed_shell_calls(model: ChatModel, upstream: Any, arguments: str, why: str) -> None:
    upstream.chats(tool(0, "shell", arguments, "a"), finish="tool_calls")
    (rejected,) = await said(model)
    assert isinstance(rejected, RejectedCall)
    assert why in rejected.why
    assert (rejected.call_id, rejected.name, rejected.arguments) == ("a", "shell", arguments)


async def test_a_stream_without_a_finish_reason_was_interrupted(model: ChatModel, upstream: Any) -> None:
    delta = {"index": 0, "delta": {"content": "Hel"}, "finish_reason": None}
    upstream.says({"id": "c", "object": "chat.completion.chunk", "choices": [delta]})
    with pytest.raises(UpstreamInterrupted, match="without a finish reason"):
        await said(model)


async def test_a_refused_request_says_why(model: ChatModel, upstream: Any) -> None:
    upstream.refuses(400, "context length exceeded")
    with pytest.raises(UpstreamRefused, match="context length exceeded"):
        await said(model)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("content", [["Hel", {"type": "text", "text": "lo."}], [None, "Hello."]])
async def test_content_in_parts_is_read(model: ChatModel, upstream: Any, content: Any) -> None:
    upstream.chats({"content": content})
    deltas = await said(model)
    assert "".join(each.text for each in deltas if isinstance(each, TextDelta)) == "Hello."


@pytest.mark.parametrize(
    ("pieces", "whole"), [(["a\ud83d", "\ude00b"], "a\U0001f600b"), (["a\ud83d"], "a\ufffd")]
)
async def test_halves_of_a_character_in_chat(
    model: ChatModel, upstream: Any, pieces: list[str], whole: str
) -> None:
    upstream.chats(*({"content": piece} for piece in pieces))
    deltas = await said(model)
    assert "".join(each.text for each in deltas if isinstance(each, TextDelta)) == whole
