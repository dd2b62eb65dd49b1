"""What an upstream's failures become; both dialects share it, so the chat dialect stands for both."""

from __future__ import annotations

import logging
import traceback
from typing import Any

import pytest

from agent_kernel.errors import ModelError, UpstreamInterrupted, UpstreamRefused, UpstreamUnavailable
from agent_kernel.models.chat import ChatModel
from agent_kernel.models.responses import ResponsesModel
from agent_kernel.models.retry import RetryPolicy
from agent_kernel.models.upstream import Upstream
from agent_kernel.protocol.deltas import ModelDelta, TextDelta
from tests.tools.made import model_request

KEY = "sk-very-secret"
REQUEST = model_request("m", [{"role": "user", "content": "Hi"}])


async def said(upstream: Any, *, retries: int = 0, key: str | None = KEY) -> list[ModelDelta]:
    model = ChatModel(Upstream(upstream.url, key, retry=RetryPolicy(retries, first=0)))
    try:
        return [delta async for delta in model.stream(REQUEST)]
    finally:
        await model.aclose()


async def fails(upstream: Any, kind: type[ModelError], match: str) -> ModelError:
    with pytest.raises(kind, match=match) as caught:
        await said(upstream)
    whole = "".join(traceback.format_exception(caught.value))
    assert KEY not in whole
    return caught.value


async def test_a_wrong_key_is_refused_without_repeating_what_was_said(
    upstream: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    upstream.refuses(401, f"Incorrect API key provided: {KEY}. Also sk-very*****ret.")
    error = await fails(upstream, UpstreamRefused, r"refused the key \(401\)")
    assert "AGENT_KERNEL_UPSTREAM_KEY" in str(error)
    assert "sk-" not in str(error)
    assert KEY not in caplog.text


async def test_no_key_sends_no_secret_from_the_environment(
    upstream: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-environment")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-environment")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer sk-header")
    upstream.refuses(401, "No key")
    with pytest.raises(UpstreamRefused, match="a request without a key"):
        await said(upstream, key=None)
    assert upstream.keys == ["Bearer none"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(403, UpstreamRefused), (404, UpstreamRefused), (429, UpstreamUnavailable), (503, UpstreamUnavailable)],
)
async def test_a_status_becomes_an_error_with_the_reason(
    upstream: Any, status: int, kind: type[ModelError]
) -> None:
    upstream.refuses(status, f"because of {KEY}")
    await fails(upstream, kind, r"because of \*\*\*")


async def test_an_error_page_is_shortened(upstream: Any) -> None:
    upstream.says(status=502, raw=b"<html>" + b"x" * 10_000)
    error = await fails(upstream, UpstreamUnavailable, "<html>")
    assert len(error.message) < 600


async def test_a_busy_upstream_is_asked_again(upstream: Any) -> None:
    upstream.refuses(429, "slow down")
    upstream.chats({"content": "ok"})
    assert await said(upstream, retries=1) == [TextDelta("ok")]


async def test_nobody_answers() -> None:
    model = ChatModel(Upstream("http://user:hidden@127.0.0.1:9/v1", KEY, retry=RetryPolicy(0)))
    with pytest.raises(UpstreamUnavailable, match=r"No server answers at http://127\.0\.0\.1:9/v1") as caught:
        async for _ in model.stream(REQUEST):
            pass
    assert "hidden" not in "".join(traceback.format_exception(caught.value))
    assert "AGENT_KERNEL_UPSTREAM_URL" in str(caught.value)
    await model.aclose()


async def test_the_connection_breaks_in_mid_stream(upstream: Any) -> None:
    delta = {"choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": None}]}
    upstream.says(delta, cut=True)
    model = ChatModel(Upstream(upstream.url, KEY, retry=RetryPolicy(2, first=0)))
    stream = model.stream(REQUEST)
    assert await anext(stream) == TextDelta("Hel")
    with pytest.raises(UpstreamInterrupted, match="the connection was lost"):
        await anext(stream)
    assert len(upstream.requests) == 1, "an answer that has begun is never asked for again"
    await model.aclose()


async def test_an_error_in_the_stream_is_told(upstream: Any) -> None:
    upstream.says({"error": {"message": f"out of memory {KEY}"}})
    await fails(upstream, UpstreamInterrupted, r"out of memory \*\*\*")


async def test_what_is_not_json_breaks_the_stream(upstream: Any) -> None:
    upstream.says(raw=b"data: <html>\n\n")
    await fails(upstream, UpstreamInterrupted, "not an event")


async def test_what_is_no_stream_at_all(upstream: Any) -> None:
    upstream.says(raw=b"<html>Welcome!</html>")
    await fails(upstream, UpstreamInterrupted, "without a finish reason")
    upstream.says(raw=b"<html>Welcome!</html>")
    model = ResponsesModel(Upstream(upstream.url, KEY, retry=RetryPolicy(0)), native=True)
    with pytest.raises(UpstreamInterrupted, match="without a closing event"):
        async for _ in model.stream(REQUEST):
            pass
    await model.aclose()
