"""Compaction by an upstream's own means, and what is learned of those that have none."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agent_kernel.errors import UpstreamUnavailable
from agent_kernel.models.base import Compacts, Item
from agent_kernel.models.chat import ChatModel
from agent_kernel.models.responses import ResponsesModel
from agent_kernel.models.retry import RetryPolicy
from agent_kernel.models.upstream import Upstream
from agent_kernel.protocol.deltas import Compaction, ModelDelta, Usage
from tests.tools.made import model_request

USER: Item = {"type": "message", "role": "user", "content": "Hi"}
COMPACTED = {"type": "compaction", "id": "cmp_up", "encrypted_content": "blob"}
ANSWER = {
    "type": "message",
    "id": "m",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
}
USAGE = {
    "input_tokens": 5000,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 5005,
}


@pytest.fixture
async def model(upstream: Any) -> AsyncIterator[ResponsesModel]:
    model = ResponsesModel(Upstream(upstream.url, "sk", retry=RetryPolicy(0)), native=True)
    yield model
    await model.aclose()


async def said(model: ResponsesModel, *items: Item, threshold: int | None = 1000) -> list[ModelDelta]:
    request = model_request("m", items or [USER], compact_threshold=threshold)
    return [delta async for delta in model.stream(request)]


async def compacted_item(model: ResponsesModel, upstream: Any) -> Item:
    """As the runtime stores what the upstream gave."""
    upstream.responds(COMPACTED, ANSWER, usage=USAGE)
    (given,) = [delta for delta in await said(model) if isinstance(delta, Compaction)]
    return {"type": "compaction", "id": "cmp_ours", "encrypted_content": given.encrypted_content}


async def test_the_threshold_is_handed_on_and_the_item_comes_up(model: ResponsesModel, upstream: Any) -> None:
    assert isinstance(model, Compacts)
    assert model.compacts("m")
    await compacted_item(model, upstream)
    limit = {"type": "compaction", "compact_threshold": 1000}
    assert upstream.requests[0]["context_management"] == [limit]
    assert model.compacts("m")
    upstream.responds(ANSWER)
    await said(model, threshold=None)
    assert "context_management" not in upstream.requests[1]


async def test_its_item_goes_back_unchanged_and_stands_for_what_came_before(
    model: ResponsesModel, upstream: Any
) -> None:
    item = await compacted_item(model, upstream)
    call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "c1", "output": "x"}
    upstream.responds(ANSWER)
    await said(model, USER, {**USER, "content": "early"}, call, item, result, {**USER, "content": "late"})
    assert upstream.requests[-1]["input"] == [
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        COMPACTED,
        {"type": "function_call_output", "call_id": "c1", "output": "x"},
        {"type": "message", "role": "user", "content": "late"},
    ]


async def test_another_upstream_is_told_the_conversation_itself(model: ResponsesModel, upstream: Any) -> None:
    item = await compacted_item(model, upstream)
    upstream.responds(ANSWER)
    request = model_request("other", [USER, item, USER])
    assert [delta async for delta in model.stream(request)]
    assert [each["type"] for each in upstream.requests[-1]["input"]] == ["message", "message"]
    chat = ChatModel(Upstream(upstream.url, "sk", retry=RetryPolicy(0)))
    upstream.chats({"content": "ok"})
    assert [delta async for delta in chat.stream(model_request("m", [USER, item, USER]))]
    assert [each["role"] for each in upstream.requests[-1]["messages"]] == ["user", "user"]
    assert not isinstance(chat, Compacts)
    await chat.aclose()


async def test_one_that_refuses_the_threshold_is_asked_without_it(
    model: ResponsesModel, upstream: Any
) -> None:
    upstream.refuses(400, "Unknown parameter: 'context_management'.", param="context_management")
    upstream.responds(ANSWER)
    await said(model)
    assert "context_management" not in upstream.requests[1]
    assert not model.compacts("m")
    assert model.compacts("another")


async def test_one_that_overlooks_the_threshold_is_found_out(model: ResponsesModel, upstream: Any) -> None:
    upstream.responds(ANSWER, usage={**USAGE, "input_tokens": 1500})
    await said(model)
    assert model.compacts("m"), "counted otherwise, perhaps"
    upstream.responds(ANSWER, usage=USAGE)
    await said(model)
    assert not model.compacts("m")


async def test_a_conversation_is_compacted_where_the_upstream_can(
    model: ResponsesModel, upstream: Any
) -> None:
    output = [{**USER, "id": "msg_1", "content": [{"type": "input_text", "text": "Hi"}]}, COMPACTED]
    answer = {"id": "r", "object": "response.compaction", "created_at": 1, "output": output, "usage": USAGE}
    upstream.says(raw=json.dumps(answer).encode(), headers={"Content-Type": "application/json"})
    own = await model.compact(model_request("m", [USER], instructions="Be brief.", shell=False))
    assert own is not None
    compaction, usage = own
    assert usage == Usage(5000, 5)
    assert upstream.paths == ["/v1/responses/compact"]
    assert upstream.requests[0] == {"model": "m", "input": [{**USER}], "instructions": "Be brief."}
    upstream.responds(ANSWER)
    await said(model, USER, {"type": "compaction", "encrypted_content": compaction.encrypted_content})
    assert upstream.requests[-1]["input"] == [COMPACTED]


@pytest.mark.parametrize(("status", "again"), [(404, False), (405, False), (501, False), (400, True)])
async def test_one_without_the_endpoint_is_not_asked_again(
    status: int, again: bool, model: ResponsesModel, upstream: Any
) -> None:
    upstream.refuses(status, "no such thing")
    assert await model.compact(model_request("m", [USER])) is None
    upstream.refuses(status, "no such thing")
    assert await model.compact(model_request("m", [USER])) is None
    assert len(upstream.requests) == (2 if again else 1)


async def test_an_upstream_that_is_away_is_no_reason_for_another_way(
    model: ResponsesModel, upstream: Any
) -> None:
    upstream.refuses(503, "overloaded")
    with pytest.raises(UpstreamUnavailable, match="overloaded"):
        await model.compact(model_request("m", [USER]))
