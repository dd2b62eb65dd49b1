"""Responses streams that end in another way, and reasoning without deltas."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from agent_kernel.errors import UpstreamInterrupted
from agent_kernel.models.responses import ResponsesModel
from agent_kernel.models.retry import RetryPolicy
from agent_kernel.models.upstream import Upstream
from agent_kernel.protocol.deltas import Notice, ReasoningDelta, Truncated, Usage
from tests.models.test_responses_servers import MESSAGE, SHELL, bare, call, parts, said, text
from tests.tools.made import shell_done


@pytest.fixture
async def model(upstream: Any) -> AsyncIterator[ResponsesModel]:
    made = ResponsesModel(Upstream(upstream.url, "sk-secret", retry=RetryPolicy(0)), native=False)
    yield made
    await made.aclose()


def written() -> list[dict[str, Any]]:
    """A message and a call in deltas, which no event ends."""
    return [
        bare("output_text.delta", output_index=0, delta="So."),
        bare("output_item.added", output_index=1, item=call(1, "shell", "")),
        bare("function_call_arguments.delta", output_index=1, delta=SHELL),
    ]


WHOLE = [{**MESSAGE, "content": parts("So.")}, call(1, "shell", SHELL)]
USAGE = {"input_tokens": 3, "output_tokens": 4}


@pytest.mark.parametrize("before", [[], written()], ids=["whole", "deltas"])
@pytest.mark.parametrize("status", [{"status": "completed"}, {}], ids=["status", "no status"])
async def test_response_done_closes_an_answer(
    model: ResponsesModel, upstream: Any, before: list[Any], status: dict[str, Any]
) -> None:
    response = {"id": "r", "output": WHOLE, "usage": USAGE, **status}
    upstream.says(*before, bare("done", response=response))
    deltas = await said(model)
    assert text(deltas) == "So."
    assert deltas.count(shell_done("call_1", ("ls",))) == 1
    assert deltas[-1] == Usage(3, 4)


async def test_response_done_with_a_failure_fails(model: ResponsesModel, upstream: Any) -> None:
    upstream.says(bare("done", response={"status": "failed", "error": {"code": "x", "message": "On fire."}}))
    with pytest.raises(UpstreamInterrupted, match="On fire"):
        await said(model)


async def test_response_done_may_be_incomplete(model: ResponsesModel, upstream: Any) -> None:
    upstream.says(bare("output_text.delta", delta="So"), bare("done", response={"status": "incomplete"}))
    assert (await said(model))[-1] == Truncated("max_output_tokens")


@pytest.mark.parametrize("kind", ["done", "completed"])
async def test_closing_event_without_response_closes(model: ResponsesModel, upstream: Any, kind: str) -> None:
    upstream.says(*written(), bare(kind))
    deltas = await said(model)
    assert text(deltas) == "So."
    assert deltas[-1] == shell_done("call_1", ("ls",))


async def test_done_mark_closes_an_answer_with_a_notice(model: ResponsesModel, upstream: Any) -> None:
    upstream.says(*written(), done=True)
    deltas = await said(model)
    assert text(deltas) == "So."
    assert deltas.count(shell_done("call_1", ("ls",))) == 1
    assert isinstance(deltas[-1], Notice)


async def test_stream_without_any_end_broke_off(model: ResponsesModel, upstream: Any) -> None:
    upstream.says(bare("output_text.delta", delta="The mark is data: [DONE]"))
    with pytest.raises(UpstreamInterrupted, match="without a closing event"):
        await said(model)


SUMMARY, CONTENT = "reasoning_summary_text", "reasoning_text"
SUMMARY_PART = {"type": "summary_text", "text": "Hm"}
CONTENT_PART = {"type": "reasoning_text", "text": "Hm"}
ITEM = {"type": "reasoning", "id": "rs_1", "summary": []}


@pytest.mark.parametrize("ended", [True, False], ids=["item done", "no item done"])
@pytest.mark.parametrize(
    "events",
    [
        [bare(f"{SUMMARY}.done", item_id="rs_1", summary_index=0, text="Hm")],
        [bare(f"{CONTENT}.done", item_id="rs_1", content_index=0, text="Hm")],
        [bare(f"{SUMMARY}.done", item_id="rs_1", text="Hm")],
        [bare("reasoning_summary_part.done", item_id="rs_1", summary_index=0, part=SUMMARY_PART)],
        [bare("content_part.done", item_id="rs_1", content_index=0, part=CONTENT_PART)],
        [
            bare(f"{SUMMARY}.delta", item_id="rs_1", summary_index=0, delta="Hm"),
            bare(f"{SUMMARY}.done", item_id="rs_1", summary_index=0, text="Hm"),
            bare("reasoning_summary_part.done", item_id="rs_1", summary_index=0, part=SUMMARY_PART),
        ],
        [
            bare(f"{CONTENT}.delta", item_id="rs_1", content_index=0, delta="Hm"),
            bare(f"{CONTENT}.done", item_id="rs_1", content_index=0, text="Hm"),
            bare("content_part.done", item_id="rs_1", content_index=0, part=CONTENT_PART),
        ],
    ],
)
async def test_reasoning_is_read_once_from_wherever_it_is(
    model: ResponsesModel, upstream: Any, events: list[Any], ended: bool
) -> None:
    item = {**ITEM, "summary": [SUMMARY_PART]}
    closing = [bare("output_item.done", item=item)] if ended else []
    upstream.says(*events, *closing, bare("completed", response={"output": [item] if ended else []}))
    assert await said(model) == [ReasoningDelta("Hm", part=0)]


async def test_each_part_of_reasoning_is_read(model: ResponsesModel, upstream: Any) -> None:
    events = [
        bare(f"{SUMMARY}.done", item_id="rs_1", summary_index=n, text=each) for n, each in enumerate("ab")
    ]
    upstream.says(*events, bare("completed", response={"output": []}))
    assert await said(model) == [ReasoningDelta("a", part=0), ReasoningDelta("b", part=1)]
