"""Whole streams, as the strict accumulator of openai-python takes them."""

from __future__ import annotations

from typing import Any

from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState

from agent_kernel.protocol.sse import event_of, own_event

Json = dict[str, Any]


def check_stream(events: list[Json], *, beyond: tuple[str, ...] = ()) -> list[tuple[Json, list[Json]]]:
    """Check the numbers and types of a whole stream, and return each item with its events.

    `beyond` is how types of events begin that the package does not know.
    """
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    accumulator: ResponseStreamState[Any] = ResponseStreamState(input_tools=omit, text_format=omit)
    for event in events:
        assert event_of(event) is not None or event["type"].startswith(beyond), event
        accumulator.handle_event(own_event(event))
    return [
        (item, [event for event in events if event.get("output_index") == index])
        for index, item in enumerate(events[-1]["response"]["output"])
    ]
