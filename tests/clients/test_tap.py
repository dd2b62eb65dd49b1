"""The tap itself: what it must catch."""

from __future__ import annotations

from typing import Any

import pytest
from openai import OpenAI
from pydantic import ValidationError

from tests.clients.conftest import KEY
from tests.clients.tap import Tap, check_event, check_stream


def test_it_sees_every_byte_of_a_stream(tap: Tap) -> None:
    with OpenAI(base_url=tap.url, api_key=KEY) as client:
        client.models.list()
        received = list(client.responses.create(input="say hello", stream=True))
    (events,) = tap.check()
    assert [event["type"] for event in events] == [event.type for event in received]
    models, turn = tap.exchanges()
    assert (models.method, models.path, models.status) == ("GET", "/v1/models", 200)
    assert turn.json == {"input": "say hello", "stream": True}


def test_what_a_type_asks_for_must_be_there() -> None:
    delta: dict[str, Any] = {
        "type": "response.output_text.delta",
        "item_id": "msg_1",
        "output_index": 0,
        "content_index": 0,
        "delta": "x",
        "logprobs": [],
        "sequence_number": 0,
    }
    check_event(delta)
    for name in set(delta) - {"type"}:
        with pytest.raises(ValidationError, match=name):
            check_event({key: value for key, value in delta.items() if key != name})
    with pytest.raises(ValidationError):
        check_event({**delta, "content_index": "0"})


def test_the_order_is_checked(tap: Tap) -> None:
    with OpenAI(base_url=tap.url, api_key=KEY) as client:
        list(client.responses.create(input="say hello", stream=True))
    (events,) = tap.check()
    kinds = [event["type"] for event in events]
    for name in ("response.created", "response.output_item.added", "response.output_item.done", kinds[-1]):
        index = kinds.index(name)
        gone = [event for event in events if event is not events[index]]
        with pytest.raises(AssertionError):
            check_stream([{**event, "sequence_number": number} for number, event in enumerate(gone)])
    with pytest.raises(AssertionError):
        check_stream([*events[:3], events[4], events[3], *events[5:]])
