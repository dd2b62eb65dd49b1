"""The body of an upstream's answer, cut into pieces anywhere."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_kernel.models.reading.incoming import Incoming

EVENTS: list[Any] = [{"text": "é"}, {"text": "two"}, {"choices": []}]


class Pieces(httpx2.AsyncByteStream):
    """A body in pieces; `read` is how many were taken."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.read = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.read += 1
            yield piece


async def read(pieces: list[bytes]) -> tuple[list[Any], Incoming, Pieces]:
    body = Pieces(pieces)
    incoming = Incoming(httpx2.Response(200, stream=body), lambda size: None)
    return [event async for event in incoming.events()], incoming, body


@given(size=st.integers(1, 30), newline=st.sampled_from([b"\n", b"\r\n", b"\r"]))
async def test_events_are_read_at_any_cut(size: int, newline: bytes) -> None:
    lines = [b": hello", b"", b"event: ping", b""]
    for event in EVENTS:
        lines += [
            b"event: any",
            *(b"data: " + line for line in json.dumps(event, indent=1).encode().splitlines()),
        ]
        lines += [b""]
    data = newline.join([*lines, b"data: [DONE]", b"", b""])
    events, incoming, body = await read([data[i : i + size] for i in range(0, len(data), size)])
    assert events == EVENTS
    assert incoming.done
    assert body.read == len(body.pieces)  # to the end, so that the connection can be used again


async def test_event_without_its_blank_line_is_dropped() -> None:
    events, incoming, _ = await read([b'data: {"a": 1}\n\ndata: {"b"', b": 2}\n"])
    assert events == [{"a": 1}]
    assert not incoming.done


@pytest.mark.parametrize("data", [b"{not JSON}", b"\xff", b"[" * 100_000])
async def test_data_that_is_not_json_is_an_error(data: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        await read([b"data: ", data, b"\n\n"])
