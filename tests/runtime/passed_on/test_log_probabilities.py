"""Log probabilities of an answer's tokens, from both dialects, and the usage of tools."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.models.reading.log_probabilities import MOST_LIKELY, logprobs_of
from agent_kernel.protocol.fold import fold
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from tests.runtime.played import Upstream, items, runtime_on, turns_of

pytestmark = pytest.mark.bubblewrap

WORD = "message.output_text.logprobs"
LIKELY = {"token": "Ho", "bytes": [72, 111], "logprob": -2.0}
TOKENS: list[dict[str, Any]] = [
    {"token": "Hi", "bytes": [72, 105], "logprob": -0.5, "top_logprobs": [LIKELY]},
    {"token": "!", "bytes": [33], "logprob": -0.1, "top_logprobs": []},
]


@pytest.fixture
async def runtime(
    upstream: Upstream, bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> AsyncIterator[LocalRuntime]:
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path) as runtime:
        yield runtime


def says_it(upstream: Upstream, dialect: str) -> None:
    """Answer the next request with the two tokens, each in a delta."""
    if dialect == "chat":
        chunks = [
            {"index": 0, "delta": {"content": each["token"]}, "logprobs": {"content": [each]}}
            for each in TOKENS
        ]
        upstream.streams_chunks(*chunks)
        return
    part = {"type": "output_text", "text": "Hi!", "annotations": [], "logprobs": TOKENS}
    item = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [part]}
    place = {"output_index": 0, "item_id": "m", "content_index": 0}
    upstream.sends(
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        *(
            {
                "type": "response.output_text.delta",
                **place,
                "delta": each["token"],
                "logprobs": [each],
            }
            for each in TOKENS
        ),
        {"type": "response.output_item.done", "output_index": 0, "item": item},
    )


@pytest.mark.parametrize("dialect", ["chat", "responses"])
async def test_log_probabilities_reach_the_client(
    upstream: Upstream, runtime: LocalRuntime, dialect: str
) -> None:
    says_it(upstream, dialect)
    request = {"input": "Hi", "model": f"{dialect}/m", "include": [WORD], "top_logprobs": 2}
    async with aclosing(runtime.respond(request)) as given:
        events = [event async for event in given]
    asked = upstream.requests[-1]
    assert asked["top_logprobs"] == 2
    assert asked["logprobs"] is True if dialect == "chat" else asked["include"] == [WORD]
    json = [to_json(event) for event in events]
    deltas = [each["logprobs"] for each in json if each["type"] == "response.output_text.delta"]
    assert deltas == [[TOKENS[0]], [TOKENS[1]]]
    (done,) = [each["logprobs"] for each in json if each["type"] == "response.output_text.done"]
    assert done == TOKENS
    response = to_json(fold(events))
    assert response["output"][0]["content"][0]["logprobs"] == TOKENS
    assert response["top_logprobs"] == 2
    assert "agent_kernel" not in response


async def test_answer_without_log_probabilities_has_a_notice(
    upstream: Upstream, runtime: LocalRuntime
) -> None:
    upstream.says({"content": "Hi"})
    response = to_json(await turns_of(runtime)("Hi", model="chat/m", include=[WORD]))
    (notice,) = response["agent_kernel"]["notices"]
    assert "log probabilities" in notice
    upstream.says({"content": "Hi"})
    plain = to_json(await turns_of(runtime)("Hi", model="chat/m"))
    assert "logprobs" not in upstream.requests[-1]
    assert "agent_kernel" not in plain


async def test_more_than_the_api_returns_is_refused(runtime: LocalRuntime) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await turns_of(runtime)("Hi", model="chat/m", top_logprobs=21)
    assert caught.value.param == "top_logprobs"


def test_odd_entries_are_left_out() -> None:
    odd: list[Any] = [None, 3, {}, {"token": 1, "logprob": 0}, {"token": "a", "logprob": float("-inf")}]
    bare = {"token": "é", "logprob": -1, "bytes": "x", "top_logprobs": [LIKELY] * 50}
    (found,) = logprobs_of([*odd, bare])
    assert (found["bytes"], found["logprob"]) == ([0xC3, 0xA9], -1.0)
    assert len(found["top_logprobs"]) == MOST_LIKELY
    assert logprobs_of({"token": "a"}) == ()


async def test_what_servers_count_is_added_up(upstream: Upstream, runtime: LocalRuntime) -> None:
    """A turn of two steps: the first calls a function that nobody has."""
    details = {"image_tokens": 3, "text_tokens": 4}
    drawn = {
        "input_tokens": 7,
        "input_tokens_details": details,
        "output_tokens": 8,
        "output_tokens_details": details,
        "total_tokens": 15,
    }
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}
    said = {"tool_usage": {"image_gen": drawn, "web_search": {"num_requests": 3}}, "service_tier": "flex"}
    unknown = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "no", "arguments": "{}"}
    upstream.responds(search, unknown, **said)
    upstream.responds(**{**said, "service_tier": "priority"})
    found = await turns_of(runtime)("Hi", model="responses/m", tools=[{"type": "image_generation"}])
    response = to_json(found)
    assert response["service_tier"] == "priority"
    assert response["tool_usage"]["web_search"] == {"num_requests": 6}
    assert response["tool_usage"]["image_gen"]["total_tokens"] == 30
    images = response["tool_usage"]["image_gen"]["output_tokens_details"]
    assert images == {"image_tokens": 6, "text_tokens": 8}
    odd = {"image_gen": {"total_tokens": "x", "input_tokens_details": 3}, "web_search": 1}
    upstream.responds(tool_usage=odd, service_tier={"a": 1})
    response = to_json(await turns_of(runtime)("Hi", model="responses/m", service_tier="flex"))
    assert (response["service_tier"], response["tool_usage"]["web_search"]) == ("flex", {"num_requests": 0})
    upstream.says({"content": "Hi"})
    upstream.prepared[0] = upstream.prepared[0].replace(b'"object"', b'"service_tier": "scale", "object"')
    assert to_json(await turns_of(runtime)("Hi", model="chat/m"))["service_tier"] == "scale"


async def test_usage_of_tools_is_zero_or_left_out(upstream: Upstream, runtime: LocalRuntime) -> None:
    picture = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "aGk="}
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}
    upstream.responds()
    plain = to_json(await turns_of(runtime)("Hi", model="responses/m"))
    assert plain["tool_usage"]["web_search"] == {"num_requests": 0}
    assert plain["tool_usage"]["image_gen"]["total_tokens"] == 0
    upstream.responds(search)
    searched = to_json(await turns_of(runtime)("Hi", model="responses/m"))
    assert searched["tool_usage"]["web_search"] == {"num_requests": 1}
    upstream.responds(picture)
    drawn = await turns_of(runtime)("Hi", model="responses/m", tools=[{"type": "image_generation"}])
    assert "tool_usage" not in to_json(drawn)
    assert [each["type"] for each in items(drawn)] == ["image_generation_call"]
