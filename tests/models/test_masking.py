"""The key of an upstream in messages: it never leaks, and a short one damages no sentence."""

from __future__ import annotations

import logging
import traceback
from typing import Any

import pytest

from agent_kernel.errors import ConfigurationError, UpstreamRefused
from agent_kernel.models.catalogue import Models, NamedUpstream
from agent_kernel.models.masking import masking
from agent_kernel.models.retry import RetryPolicy
from tests.tools.made import model_request

PROSE = (
    "This model's maximum context length is 8,192 tokens. However, you asked for 'n' = 3 of these: a key of "
    'the mapping "x" is none of test, ok or sk. {"error": {"code": "k", "param": "a"}} - see x, k & 12.'
)
SHORT = ["k", "x", "a", "n", "e", "-", "1", "12", "ok", "sk", "no", "*", "test", "none", "token"]
KEYS = [
    "x",
    "ok",
    "12",
    "none",
    "abc123",
    "hunter",
    "sk-1234",
    "lm-studio",
    "sk-proj-0123456789abcdef",
    "p.q+r(s)",
]
LEAKS = [
    "Incorrect API key provided: {}.",
    'Unknown api_key="{}"',
    '{{"api_key": "{}"}}',
    "Authorization: Bearer {}",
    "bad header: bearer {}, sorry",
    "The key '{}' has expired",
    "the password is `{}`",
]


@pytest.mark.parametrize("key", SHORT)
def test_short_key_damages_no_prose(key: str) -> None:
    assert masking(key)(PROSE) == PROSE


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("text", LEAKS)
def test_key_is_masked_where_it_is_a_key(key: str, text: str) -> None:
    assert masking(key)(text.format(key)) == text.format("***")


@pytest.mark.parametrize("key", [key for key in KEYS if len(key) > 2])
def test_key_is_masked_right_after_its_word(key: str) -> None:
    assert masking(key)(f"Invalid token {key}!") == "Invalid token ***!"


@pytest.mark.parametrize("key", ["abc123", "sk-1234", "lm-studio", "sk-proj-0123456789abcdef", "p.q+r(s)"])
@pytest.mark.parametrize("text", ["{} is wrong", "wrong: {}", "<b>{}</b>", "{}", "a {}, b", "{} and {}"])
def test_real_key_is_masked_anywhere(key: str, text: str) -> None:
    assert masking(key)(text.format(key, key)) == text.format("***", "***")


def test_long_key_is_masked_inside_words() -> None:
    assert masking("0123456789")("https://h/?k=0123456789&x _0123456789_") == "https://h/?k=***&x _***_"


@pytest.mark.parametrize("key", [None, ""])
def test_without_key_nothing_is_masked(key: str | None) -> None:
    assert masking(key)(PROSE) == PROSE


async def refused(models: Models, name: str) -> UpstreamRefused:
    model, upstreams_name = models.resolve(name)
    with pytest.raises(UpstreamRefused) as caught:
        await anext(model.stream(model_request(upstreams_name, [{"role": "user", "content": "Hi"}])))
    await models.aclose()
    return caught.value


@pytest.mark.parametrize("name", ["chat/m", "responses/m"])
async def test_refusal_is_readable_with_a_short_key(upstream: Any, name: str) -> None:
    upstream.refuses(400, "Too many tokens. Incorrect API key: k")
    models = Models(upstream_url=upstream.url, upstream_key="k", default=None, retry=RetryPolicy(0))
    error = await refused(models, name)
    assert "Too many tokens. Incorrect API key: ***" in str(error)


@pytest.mark.parametrize("name", ["chat/m", "responses/m"])
async def test_blanks_around_a_key_are_not_sent(upstream: Any, name: str) -> None:
    upstream.refuses(400, "no")
    models = Models(upstream_url=upstream.url, upstream_key=" sk-1\n", default=None, retry=RetryPolicy(0))
    await refused(models, name)
    assert upstream.keys == ["Bearer sk-1"]


@pytest.mark.parametrize("key", ["sk-secret\n0123456789", "sk-secret\x000123456789", "sk-sécret-0123456789"])
@pytest.mark.parametrize("prefix", ["chat", "named"])
def test_impossible_key_is_refused_unseen(
    upstream: Any, caplog: pytest.LogCaptureFixture, key: str, prefix: str
) -> None:
    caplog.set_level(logging.DEBUG)
    named = {"named": NamedUpstream("responses", upstream.url, key)}
    models = Models(upstream_url=upstream.url, upstream_key=key, default=f"{prefix}/m", upstreams=named)
    with pytest.raises(ConfigurationError, match="characters that cannot be sent") as caught:
        models.resolve(None)
    setting = (
        "AGENT_KERNEL_UPSTREAM_KEY" if prefix == "chat" else "the key of 'named' in AGENT_KERNEL_UPSTREAMS"
    )
    assert setting in str(caught.value)
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "0123456789" not in shown
