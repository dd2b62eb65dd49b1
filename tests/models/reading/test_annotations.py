"""Citations that an upstream makes in its own messages."""

from __future__ import annotations

from typing import Any

import pytest

from agent_kernel.models.reading.annotations import MOST, annotation_of
from agent_kernel.models.responses import ResponsesModel
from agent_kernel.protocol.deltas import AnnotationDelta, TextDelta
from tests.models.test_responses import end
from tests.models.test_responses_servers import bare, model, said, text

__all__ = ["model"]

LINK = {"type": "url_citation", "url": "https://a.example", "title": "A", "start_index": 4, "end_index": 5}
FILE = {"type": "file_citation", "file_id": "file_1", "filename": "b.pdf", "index": 3}
MOVED = {**FILE, "index": 9}
"""The second part's citation in one text with the first part, which has 6 characters."""
WHOLE = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [
        {"type": "output_text", "text": "See A.", "annotations": [LINK]},
        {"type": "output_text", "text": "And B.", "annotations": [FILE]},
    ],
}


def streamed(*, annotations: bool) -> list[dict[str, Any]]:
    events = [bare("output_item.added", output_index=0, item={**WHOLE, "content": []})]
    for number, part in enumerate(WHOLE["content"]):
        place: dict[str, Any] = {"item_id": "msg_1", "output_index": 0, "content_index": number}
        events.append(bare("output_text.delta", **place, delta=part["text"]))  # type: ignore[index]
        if annotations:
            cited = part["annotations"][0]  # type: ignore[index]
            added = bare("output_text.annotation.added", **place, annotation_index=0, annotation=cited)
            events.append(added)
    return [*events, bare("output_item.done", output_index=0, item=WHOLE)]


@pytest.mark.parametrize("where", ["events", "item after deltas", "item", "closing event"])
async def test_citations_are_read_once(model: ResponsesModel, upstream: Any, where: str) -> None:
    events = {
        "events": streamed(annotations=True),
        "item after deltas": streamed(annotations=False),
        "item": [bare("output_item.done", output_index=0, item=WHOLE)],
    }
    upstream.says(*events.get(where, []), end(output=[WHOLE]))
    deltas = await said(model)
    assert text(deltas) == "See A.And B."
    assert [each.annotation for each in deltas if isinstance(each, AnnotationDelta)] == [LINK, MOVED]


@pytest.mark.parametrize(
    "odd",
    [
        None,
        "text",
        {},
        {"type": ["url_citation"]},
        {"type": "made_up"},
        {**LINK, "url": 5},
        {**LINK, "url": "x" * 5_000},
        {**LINK, "start_index": True},
        {**LINK, "start_index": -1},
        {**LINK, "end_index": 10**30},
        {"type": "file_citation", "file_id": "f", "index": 0},
    ],
)
def test_what_is_no_citation_is_left_out(odd: object) -> None:
    assert annotation_of(odd, 0) is None


def test_unknown_fields_of_a_citation_are_left_out() -> None:
    assert annotation_of({**LINK, "more": {"deep": []}}, 10) == {**LINK, "start_index": 14, "end_index": 15}


async def test_endless_citations_are_cut(model: ResponsesModel, upstream: Any) -> None:
    content = [{"type": "output_text", "text": "See A.", "annotations": [LINK] * (MOST + 5)}]
    upstream.says(end(output=[{**WHOLE, "content": content}]))
    deltas = await said(model)
    assert len([each for each in deltas if isinstance(each, AnnotationDelta)]) == MOST
    assert [each for each in deltas if isinstance(each, TextDelta)] == [TextDelta("See A.")]
