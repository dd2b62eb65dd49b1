"""Bodies without the right content type, and errors of any form, in both dialects."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agent_kernel.errors import ModelError, UpstreamInterrupted, UpstreamRefused, UpstreamUnavailable
from agent_kernel.models.chat import ChatModel
from agent_kernel.models.responses import ResponsesModel
from agent_kernel.models.retry import RetryPolicy
from agent_kernel.models.upstream import Upstream
from agent_kernel.protocol.deltas import TextDelta, Truncated
from tests.models.test_odd_answers import SHELL, Model, said, whole
from tests.tools.made import shell_done

WORDS = "The GPU is on fire"
TYPES = ["text/plain", "text/event-stream", "application/problem+json", "application/json", ""]


@pytest.fixture(params=["chat", "responses"])
async def model(request: pytest.FixtureRequest, upstream: Any) -> AsyncIterator[Model]:
    made = Upstream(upstream.url, "sk-secret", retry=RetryPolicy(2, first=0.001))
    body: Model = ChatModel(made) if request.param == "chat" else ResponsesModel(made, native=False)
    yield body
    await body.aclose()


async def fails(model: Model, upstream: Any, body: bytes, kind: str = "text/event-stream") -> ModelError:
    for _ in range(3):
        upstream.says(raw=body, headers={"Content-Type": kind})
    with pytest.raises(ModelError, match=WORDS) as raised:
        await said(model)
    return raised.value


@pytest.mark.parametrize(
    ("kind", "before"), [*((kind, b"") for kind in TYPES), ("text/plain", b"\xef\xbb\xbf \r\n")]
)
async def test_json_body_of_any_type_is_read(model: Model, upstream: Any, kind: str, before: bytes) -> None:
    upstream.says(raw=before + whole(model, "So.", SHELL), headers={"Content-Type": kind})
    assert await said(model) == [TextDelta("So."), shell_done("c0", ("ls",))]


@pytest.mark.parametrize("kind", TYPES)
async def test_stream_of_any_type_is_read(model: Model, upstream: Any, kind: str) -> None:
    body = b"data: " + whole(model, "Once", cut=True).replace(b"chat.completion", b"chat.completion.chunk")
    if isinstance(model, ResponsesModel):
        body = b'data: {"type": "response.incomplete", "response": ' + body.removeprefix(b"data: ") + b"}"
    upstream.says(raw=body + b"\n\n", headers={"Content-Type": kind})
    assert await said(model) == [TextDelta("Once"), Truncated("max_output_tokens")]


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        *((kind, {"error": {"message": WORDS, "code": 7}}) for kind in TYPES),
        ("application/json", {"error": WORDS}),
        ("application/json", {"detail": WORDS}),
        ("text/plain", {"detail": [{"loc": ["body"], "msg": WORDS}]}),
        ("application/problem+json", {"type": "about:blank", "status": 400, "title": "Bad", "detail": WORDS}),
        ("text/event-stream", {"error": {"code": 1, "msg": WORDS}}),
        ("text/event-stream", {"errors": [{"reason": WORDS}]}),
        ("", {"error": {"problem": WORDS}}),
    ],
)
async def test_json_error_is_passed_on_and_asked_once(
    model: Model, upstream: Any, kind: str, error: Any
) -> None:
    assert type(await fails(model, upstream, json.dumps(error).encode(), kind)) is UpstreamRefused
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    "error",
    [
        {"error": {"message": WORDS, "type": "server_error"}},
        {"error": {"message": WORDS, "code": 503}},
        {"error": {"message": WORDS, "code": "429"}},
        {"type": "error", "error": {"type": "overloaded_error", "message": WORDS}},
        {"status": 502, "detail": WORDS},
    ],
)
async def test_json_error_that_may_pass_is_asked_again(model: Model, upstream: Any, error: Any) -> None:
    assert isinstance(await fails(model, upstream, json.dumps(error).encode()), UpstreamUnavailable)
    assert len(upstream.requests) == 3


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"detail": "%s"}',
        b'data: {"error": {"code": 1, "msg": "%s"}}',
        b'data: {"error": {"error": {"reason": "%s"}}}',
        b'event: error\ndata: {"type": "error", "detail": "%s"}',
        b"event: error\ndata: %s",
        b"data: Error: %s",
        b'event: error\ndata: "%s"',
        b"event: error\r\ndata: %s\r\ndata: and more",
        b'data: {"message": "%s", "type": "server_error"}',
        b'data: {"object": "error", "code": 1, "msg": "%s"}',
    ],
)
async def test_odd_error_in_a_stream_keeps_its_words(model: Model, upstream: Any, event: bytes) -> None:
    body = b": hello\n\n" + event % WORDS.encode() + b"\n\n"
    assert isinstance(await fails(model, upstream, body), UpstreamInterrupted)


async def test_error_after_text_keeps_text_and_words(model: Model, upstream: Any) -> None:
    if isinstance(model, ChatModel):
        first: Any = {
            "id": "c",
            "choices": [{"index": 0, "delta": {"content": "So "}, "finish_reason": None}],
        }
    else:
        first = {"type": "response.output_text.delta", "output_index": 0, "delta": "So "}
    event = f"data: {json.dumps(first)}\n\nevent: error\ndata: {WORDS} sk-secret\n\n"
    error = await fails(model, upstream, event.encode())
    assert isinstance(error, UpstreamInterrupted)
    assert "sk-secret" not in str(error)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("code", [400, 401, "404", 422])
async def test_refusal_in_a_stream_is_asked_once(model: Model, upstream: Any, code: Any) -> None:
    error: Any = {"message": WORDS, "code": code}
    event = f"data: {json.dumps({'error': error})}\n\n"
    assert type(await fails(model, upstream, event.encode())) is UpstreamRefused
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("body", [WORDS, f"<html><body>{WORDS}</body></html>"])
async def test_text_instead_of_a_stream_is_passed_on(model: Model, upstream: Any, body: str) -> None:
    assert isinstance(await fails(model, upstream, body.encode(), "text/html"), UpstreamInterrupted)


@pytest.mark.parametrize("model", ["responses"], indirect=True)
@pytest.mark.parametrize("error", [{"code": 1, "msg": WORDS}, {"detail": WORDS}, WORDS])
async def test_failed_response_keeps_odd_words(model: Model, upstream: Any, error: Any) -> None:
    response = {"id": "r", "object": "response", "status": "failed", "error": error, "output": []}
    event = f"data: {json.dumps({'type': 'response.failed', 'response': response})}\n\n"
    await fails(model, upstream, event.encode())
    await fails(model, upstream, json.dumps(response).encode())


def chunk(finish: str | None = None, **choice: Any) -> Any:
    return {"id": "c", "choices": [{"index": 0, "finish_reason": finish, **choice}]}


CALL = {"id": "a", "type": "function", "function": {"name": "shell", "arguments": SHELL}}


@pytest.mark.parametrize("model", ["chat"], indirect=True)
@pytest.mark.parametrize(
    "chunks",
    [
        [chunk("stop", message={"content": "ha ha", "tool_calls": [CALL]})],
        [
            chunk(message={"content": "ha"}),
            chunk(message={"content": " ha", "tool_calls": [CALL]}),
            chunk("stop"),
        ],
        [
            chunk(delta={"content": "ha ha", "tool_calls": [{"index": 0, **CALL}]}),
            chunk("stop", message={"content": "ha ha", "tool_calls": [CALL]}),
        ],
        [chunk(delta={"content": "ha"}), chunk("stop", message={"content": "ha ha", "tool_calls": [CALL]})],
        [chunk("stop", delta={"content": "ha ha", "tool_calls": [CALL]}, message={"content": "ha ha"})],
    ],
    ids=["whole", "pieces", "repeated", "rest", "both"],
)
async def test_message_instead_of_delta_is_read_once(model: Model, upstream: Any, chunks: Any) -> None:
    upstream.says(*chunks, done=True)
    deltas = await said(model)
    assert "".join(each.text for each in deltas if isinstance(each, TextDelta)) == "ha ha"
    assert [each for each in deltas if not isinstance(each, TextDelta)] == [shell_done("a", ("ls",))]
