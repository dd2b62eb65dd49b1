"""Folding a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent_kernel.errors import UpstreamInterrupted
from agent_kernel.protocol.assembler import Assembler
from agent_kernel.protocol.deltas import TextDelta
from agent_kernel.protocol.fold import afold, fold
from agent_kernel.protocol.items import (
    ResponseCompletedEvent,
    ResponseErrorEvent,
    ResponseStreamEvent,
    to_json,
)
from agent_kernel.protocol.response import new_response


def stream() -> list[ResponseStreamEvent]:
    assembler = Assembler(new_response({}, id="resp_1", model="m", tools=[], created_at=0))
    return [*assembler.begin(), *assembler.feed(TextDelta("hi")), *assembler.complete()]


async def test_both_forms_give_the_last_response() -> None:
    events = stream()

    async def later() -> AsyncIterator[ResponseStreamEvent]:
        for event in events:
            yield event

    assert isinstance(events[-1], ResponseCompletedEvent)
    assert to_json(fold(events)) == to_json(events[-1].response) == to_json(await afold(later()))


def test_items_are_recovered_where_the_last_event_has_none() -> None:
    events = stream()
    bare = events[-1].model_copy(deep=True)
    assert isinstance(bare, ResponseCompletedEvent)
    bare.response.output = []
    assert fold([*events[:-1], bare]).output_text == "hi"


def test_a_stream_without_an_end_is_no_answer() -> None:
    with pytest.raises(UpstreamInterrupted, match="no closing event"):
        fold(stream()[:-1])
    error = ResponseErrorEvent(type="error", message="boom", sequence_number=9)
    with pytest.raises(UpstreamInterrupted, match="boom"):
        fold([*stream()[:-1], error])
