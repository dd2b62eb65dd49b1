"""Requests that do not fit the model's context window, in the words of many servers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agent_kernel.errors import ContextLengthExceeded, UpstreamUnavailable
from agent_kernel.models.chat import ChatModel
from agent_kernel.models.reading.overflow import Overflow, overflow_in
from agent_kernel.models.responses import ResponsesModel
from agent_kernel.models.retry import RetryPolicy
from agent_kernel.models.upstream import Upstream
from agent_kernel.server.errors import described
from tests.tools.made import model_request

Model = ChatModel | ResponsesModel

MESSAGES = [
    # OpenAI and compatible servers
    (
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4900 in the"
        " messages, 100 in the completion). Please reduce the length of the messages or completion.",
        Overflow(4900, 4096),
    ),
    (
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens"
        " (8900 in the messages, 101 in the functions).",
        Overflow(8900, 8192),
    ),
    (
        "Your input exceeds the context window of this model. Please adjust"
        " your input and try again.",
        Overflow(),
    ),
    (
        "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000 tokens.",
        Overflow(300_000, 272_000),
    ),
    (
        "Request too large for gpt-4o in organization org-x on tokens per min"
        " (TPM): Limit 30000, Requested 40000.",
        Overflow(40_000, 30_000),
    ),
    (
        "Invalid 'input[2].output': string too long. Expected a string with maximum length 10485760.",
        Overflow(),
    ),
    # llama.cpp, llama-cpp-python, Ollama, LM Studio
    (
        "request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it",
        Overflow(5000, 4096),
    ),
    ("Requested tokens (5000) exceed context window of 4096", Overflow(5000, 4096)),
    ("the input length exceeds the context length", Overflow()),
    ("prompt too long; exceeded max context length by 904 tokens", Overflow()),
    (
        "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with"
        " context length of only 4096 tokens, which is not enough.",
        Overflow(5000, 4096),
    ),
    # vLLM, SGLang, TGI, TabbyAPI
    (
        "The decoder prompt (length 5000) is longer than the maximum model length of 4096. Make sure that"
        " `max_model_len` is no smaller than the number of text tokens.",
        Overflow(5000, 4096),
    ),
    (
        "'max_tokens' or 'max_completion_tokens' is too large: 5000. This model's maximum context length is"
        " 4096 tokens and your request has 100 input tokens (5000 > 4096-100).",
        Overflow(100, 4096),
    ),
    (
        "You passed 5000 input tokens and requested 100 output tokens. However, the model's context length is"
        " only 4096 tokens, resulting in a maximum input length of 3996 tokens.",
        Overflow(5000, 4096),
    ),
    (
        "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
        Overflow(5000, 4096),
    ),
    (
        "Requested token count exceeds the model's maximum context length of"
        " 4096 tokens. You requested a total"
        " of 5000 tokens: 4900 tokens from the input messages and 100 tokens for the completion.",
        Overflow(4900, 4096),
    ),
    (
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs`"
        " tokens and 100 `max_new_tokens`",
        Overflow(5000, 4096),
    ),
    ("Prompt length 5000 is greater than max_seq_len 4096", Overflow(5000, 4096)),
    # LiteLLM and providers behind it
    (
        "litellm.ContextWindowExceededError: litellm.BadRequestError:"
        " AnthropicException - prompt is too long:"
        " 210,000 tokens > 200,000 maximum",
        Overflow(210_000, 200_000),
    ),
    ("litellm.ContextWindowExceededError: OllamaException - no room", Overflow()),
    (
        "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length",
        Overflow(190_000, 200_000),
    ),
    (
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        Overflow(1_200_000, 1_048_576),
    ),
    (
        "Prompt contains 40000 tokens and 0 draft tokens, too large for model"
        " with 32768 maximum context length",
        Overflow(40_000, 32_768),
    ),
    (
        "This model's maximum prompt length is 131072 but the request contains 200000 tokens.",
        Overflow(200_000, 131_072),
    ),
    ("Input is too long for requested model.", Overflow()),
]  # fmt: skip


@pytest.mark.parametrize(("message", "found"), MESSAGES, ids=[text[:40] for text, _ in MESSAGES])
def test_a_servers_words_are_an_overflow(message: str, found: Overflow) -> None:
    for body in (message, {"message": message, "code": 400}, {"error": {"message": message}}):
        assert overflow_in(body) == found


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"code": "context_length_exceeded", "message": "No."}, Overflow()),
        ({"code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": 5000, "n_ctx": 4096,
          "message": "the request exceeds it"}, Overflow(5000, 4096)),
        ({"type": "ContextWindowExceededError", "message": "x"}, Overflow()),
        ({"message": "Provider returned error", "metadata": {"raw":
          "{\"message\":\"maximum context length is 4096 tokens\"}"}}, Overflow(None, 4096)),
        ({"type": "exceed_context_size_error", "n_ctx": True, "n_prompt_tokens": "x"}, Overflow()),
        ({"code": "context_length_exceeded", "n_ctx": 2}, Overflow()),
    ],
)  # fmt: skip
def test_its_fields_are_an_overflow(body: Any, found: Overflow) -> None:
    assert overflow_in(body) == found


@pytest.mark.parametrize(
    "body",
    [
        None,
        "",
        7,
        {"message": "Invalid value for 'temperature'."},
        {"message": "Unknown parameter: 'context_management'.", "code": 400},
        {"message": "Rate limit reached for gpt-4o: Limit 30000, Used 29000, Requested 2000."},
        {"message": "Unknown tool", "input": "This model's maximum context length is 4096 tokens."},
        {"message": "max_tokens is too large: the model supports at most 4096 completion tokens"},
    ],
)
def test_other_errors_are_none(body: Any) -> None:
    assert overflow_in(body) is None


# -- through both dialects ----------------------------------------------------------------------------------


@pytest.fixture(params=["chat", "responses", "openai"])
async def model(request: pytest.FixtureRequest, upstream: Any) -> AsyncIterator[Model]:
    made = Upstream(upstream.url, "sk-secret", retry=RetryPolicy(2, first=0.001))
    native = request.param == "openai"
    body: Model = ChatModel(made) if request.param == "chat" else ResponsesModel(made, native=native)
    yield body
    await body.aclose()


async def fails(model: Model) -> ContextLengthExceeded:
    with pytest.raises(ContextLengthExceeded) as caught:
        async for _ in model.stream(model_request("m", [{"role": "user", "content": "Hi"}])):
            pass
    assert caught.value.code == "context_length_exceeded"
    assert "larger window" in str(caught.value)
    return caught.value


LLAMA = {"code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": 5000, "n_ctx": 4096}
WORDS = "The tools and messages exceed the model's context length of 4096 tokens. sk-secret stream_options"


@pytest.mark.parametrize("status", [400, 413, 422, 500])
@pytest.mark.parametrize(("message", "fields", "tokens"), [("No.", LLAMA, 5000), (WORDS, {}, None)])
async def test_an_overflow_is_one_error(
    model: Model, upstream: Any, status: int, message: str, fields: Any, tokens: int | None
) -> None:
    upstream.refuses(status, message, **fields)
    error = await fails(model)
    assert (error.tokens, error.window) == (tokens, 4096)
    assert "4,096 fit" in error.message
    assert "sk-secret" not in str(error)
    assert len(upstream.requests) == 1, "no retry, and no feature is given up"
    assert described(error)[0] == 400


@pytest.mark.parametrize(
    "raw", [{"error": "the input length exceeds the context length"}, {"detail": "Input is too long"}]
)
async def test_an_overflow_without_error_object(model: Model, upstream: Any, raw: Any) -> None:
    upstream.says(status=400, raw=json.dumps(raw).encode())
    await fails(model)


async def test_a_body_over_the_limit_is_an_overflow(model: Model, upstream: Any) -> None:
    upstream.says(status=413, raw=b"<html>Request Entity Too Large</html>")
    await fails(model)


@pytest.mark.parametrize(
    "event",
    [
        {"error": {"message": "the request exceeds the available context size", "code": 400}},
        {"type": "error", "code": "context_length_exceeded", "message": "Your input is too much."},
        {"error": {"message": "No.", "type": "invalid_request_error", "code": "context_length_exceeded"}},
    ],
)
async def test_an_overflow_in_the_stream(model: Model, upstream: Any, event: dict[str, Any]) -> None:
    upstream.says(event)
    await fails(model)
    assert len(upstream.requests) == 1


async def test_a_rate_limit_is_no_overflow(model: Model, upstream: Any) -> None:
    for _ in range(3):
        upstream.refuses(429, "Rate limit reached: maximum context length of requests is 4096 tokens")
    with pytest.raises(UpstreamUnavailable):
        async for _ in model.stream(model_request("m", [])):
            pass
