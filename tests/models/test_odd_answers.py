"""Answers that are not streams, errors in the middle, and ends without a reason, in both dialects."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agent_kernel.errors import UpstreamInterrupted, UpstreamRefused
from agent_kernel.models.chat import ChatModel
from agent_kernel.models.responses import ResponsesModel
from agent_kernel.models.retry import RetryPolicy
from agent_kernel.models.upstream import Upstream
from agent_kernel.protocol.deltas import ItemBreak, ModelDelta, Notice, TextDelta, Truncated
from tests.models.test_chat import tool
from tests.tools.made import is_shell_delta, model_request, shell_done

USER = {"role": "user", "content": "Hi"}
JSON = {"headers": {"Content-Type": "application/json; charset=utf-8"}}
SHELL = '{"commands": ["ls"]}'
Model = ChatModel | ResponsesModel


@pytest.fixture(params=["chat", "responses"])
async def model(request: pytest.FixtureRequest, upstream: Any) -> AsyncIterator[Model]:
    made = Upstream(upstream.url, "sk-secret", retry=RetryPolicy(2, first=0.001))
    body: Model = ChatModel(made) if request.param == "chat" else ResponsesModel(made, native=False)
    yield body
    await body.aclose()


async def said(model: Model) -> list[ModelDelta]:
    deltas = [delta async for delta in model.stream(model_request("m", [USER]))]
    return [each for each in deltas if not isinstance(each, ItemBreak) and not is_shell_delta(each)]


def whole(model: Model, text: str, *calls: str, cut: bool = False) -> bytes:
    """An answer in one piece."""
    if isinstance(model, ChatModel):
        made = [
            {"id": f"c{n}", "type": "function", "function": {"name": "shell", "arguments": each}}
            for n, each in enumerate(calls)
        ]
        message = {"role": "assistant", "content": text or None, "tool_calls": made or None}
        finish = "length" if cut else "tool_calls" if calls else "stop"
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return json.dumps({"id": "x", "object": "chat.completion", "choices": [choice]}).encode()
    items: list[dict[str, Any]] = []
    if text:
        part = {"type": "output_text", "text": text, "annotations": []}
        items.append({"type": "message", "id": "m", "role": "assistant", "content": [part]})
    for n, each in enumerate(calls):
        ids = {"id": f"fc_{n}", "call_id": f"c{n}"}
        items.append({"type": "function_call", **ids, "name": "shell", "arguments": each})
    ended = {"incomplete_details": {"reason": "max_output_tokens"}} if cut else {}
    status = "incomplete" if cut else "completed"
    return json.dumps({"id": "r", "object": "response", "status": status, "output": items, **ended}).encode()


async def test_one_json_body_is_read(model: Model, upstream: Any) -> None:
    upstream.says(raw=whole(model, "Hello."), **JSON)
    assert await said(model) == [TextDelta("Hello.")]


async def test_calls_of_one_json_body_run_once_each(model: Model, upstream: Any) -> None:
    upstream.says(raw=whole(model, "So.", SHELL, SHELL.replace("ls", "pwd")), **JSON)
    deltas = await said(model)
    assert deltas == [TextDelta("So."), shell_done("c0", ("ls",)), shell_done("c1", ("pwd",))]


async def test_a_cut_json_body_is_incomplete(model: Model, upstream: Any) -> None:
    upstream.says(raw=whole(model, "Once", cut=True), **JSON)
    assert await said(model) == [TextDelta("Once"), Truncated("max_output_tokens")]


@pytest.mark.parametrize(
    "body", [{"error": {"message": "The GPU is on fire.", "code": 7}}, {"error": "The GPU is on fire."}]
)
async def test_an_error_as_json_is_passed_on(model: Model, upstream: Any, body: dict[str, Any]) -> None:
    upstream.says(raw=json.dumps(body).encode(), **JSON)
    with pytest.raises(UpstreamRefused, match="GPU is on fire"):
        await said(model)


@pytest.mark.parametrize(
    "data",
    [
        {"error": {"message": "The GPU is on fire.", "code": 500, "type": "server_error"}},
        {"message": "The GPU is on fire.", "code": 500},
        {"type": "error", "message": "The GPU is on fire.", "code": "server_error"},
    ],
    ids=["wrapped", "bare", "typed"],
)
@pytest.mark.parametrize("named", [True, False], ids=["event: error", "data only"])
async def test_an_error_in_the_middle_keeps_its_words(
    model: Model, upstream: Any, data: dict[str, Any], named: bool
) -> None:
    event = (b"event: error\n" if named else b"") + b"data: " + json.dumps(data).encode() + b"\n\n"
    for _ in range(3):
        upstream.says(raw=event)
    with pytest.raises(UpstreamInterrupted, match="GPU is on fire"):
        await said(model)


@pytest.mark.parametrize("model", ["chat"], indirect=True)
async def test_an_answer_without_a_finish_reason_completes(model: Model, upstream: Any) -> None:
    upstream.chats({"content": "Hello."}, tool(0, "shell", SHELL, "a"), finish=None)
    deltas = await said(model)
    assert deltas[:2] == [TextDelta("Hello."), shell_done("a", ("ls",))]
    assert isinstance(deltas[2], Notice)


@pytest.mark.parametrize(
    "error",
    ["invalid_request_error", "exceed_context_size_error", "not_supported_error", "authentication_error"],
)
async def test_an_error_that_stays_is_asked_once(model: Model, upstream: Any, error: str) -> None:
    upstream.refuses(500, "Never.", type=error)
    with pytest.raises(UpstreamRefused, match="Never"):
        await said(model)
    assert len(upstream.requests) == 1


async def test_any_other_error_is_tried_again(model: Model, upstream: Any) -> None:
    upstream.refuses(500, "Just now.", type="server_error")
    upstream.says(raw=whole(model, "Hello."), **JSON)
    assert await said(model) == [TextDelta("Hello.")]
