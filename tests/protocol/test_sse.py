"""Server-sent events, both ways."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_kernel.errors import UpstreamInterrupted
from agent_kernel.protocol.items import ResponseStreamEvent, ResponseTextDeltaEvent, to_json
from agent_kernel.protocol.sse import decode, encode


def delta(text: str, number: int = 0) -> ResponseTextDeltaEvent:
    return ResponseTextDeltaEvent(
        type="response.output_text.delta",
        item_id="msg_1",
        output_index=0,
        content_index=0,
        delta=text,
        logprobs=[],
        sequence_number=number,
    )


async def decoded(chunks: list[bytes]) -> list[ResponseStreamEvent]:
    async def source() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return [event async for event in decode(source())]


def test_encode_names_the_event_and_ends_it() -> None:
    data = encode(delta("é\n"))
    assert data.startswith(b"event: response.output_text.delta\ndata: {")
    assert data.endswith(b"}\n\n")
    assert data.count(b"\n") == 3


@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=4),
    size=st.integers(1, 40),
    newline=st.sampled_from([b"\n", b"\r\n", b"\r"]),
)
async def test_any_cut_and_any_line_ending(texts: list[str], size: int, newline: bytes) -> None:
    events = [delta(text, number) for number, text in enumerate(texts)]
    data = b": hello\n\n" + b"".join(b": ping\nid: 7\n" + encode(event) for event in events)
    data = data.replace(b"\n", newline) + newline
    chunks = [data[i : i + size] for i in range(0, len(data), size)]
    assert [to_json(e) for e in await decoded(chunks)] == [to_json(e) for e in events]


async def test_unknown_events_are_passed_over_and_done_ends() -> None:
    data = b'data: {"type":"keepalive"}\n\n' + encode(delta("a")) + b"data: [DONE]\n\n" + encode(delta("b"))
    assert len(await decoded([data])) == 1


async def test_data_may_span_lines() -> None:
    (event,) = await decoded([b'data: {"type": "error",\ndata: "message": "x", "error": {"code": "y"}}\n\n'])
    assert to_json(event)["error"] == {"code": "y"}


async def test_what_is_not_json_is_a_broken_stream() -> None:
    with pytest.raises(UpstreamInterrupted, match="not JSON"):
        await decoded([b"data: <html>\n\n"])
