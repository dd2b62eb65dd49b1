"""Streams of the Messages API in the shape that its servers send, checked against the SDK's types."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from tests.later import anthropic_types

Event = dict[str, Any]
Block = dict[str, Any]

USAGE = {
    "input_tokens": 12,
    "cache_creation_input_tokens": 300,
    "cache_read_input_tokens": 2000,
    "output_tokens": 1,
    "service_tier": "standard",
}
PIECE = 9
"""Characters of a delta."""


def text(said: str) -> Block:
    return {"type": "text", "text": said}


def thinking(thought: str) -> Block:
    return {"type": "thinking", "thinking": thought, "signature": signature(thought)}


def signature(thought: str) -> str:
    """Return what only the server can know."""
    return hashlib.sha256(f"secret {thought}".encode()).hexdigest()


def redacted(data: str) -> Block:
    return {"type": "redacted_thinking", "data": data}


def use(use_id: str, name: str, given: dict[str, Any]) -> Block:
    return {"type": "tool_use", "id": use_id, "name": name, "input": given}


def stream(
    *blocks: Block,
    stop: str | None = "end_turn",
    details: dict[str, Any] | None = None,
    output_tokens: int = 40,
    cut: int | None = None,
) -> list[Event]:
    """Return the events of a message. `cut`: the last block is written only so far, in characters."""
    events: list[Event] = [{"type": "message_start", "message": _message()}, {"type": "ping"}]
    for index, block in enumerate(blocks):
        events += _block(index, block, cut if index == len(blocks) - 1 else None)
    if stop is not None:
        usage = {"output_tokens": output_tokens, "output_tokens_details": {"thinking_tokens": 7}}
        delta = {"stop_reason": stop, "stop_sequence": None, "stop_details": details}
        events += [{"type": "message_delta", "delta": delta, "usage": usage}, {"type": "message_stop"}]
    return checked(events)


@cache
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(anthropic_types.RawMessageStreamEvent)


def checked(events: Sequence[Event]) -> list[Event]:
    """Check events against the SDK's types. It has none for `ping` and `error`."""
    for event in events:
        if event["type"] not in ("ping", "error"):
            _adapter().validate_python(event)
    return list(events)


def whole(*blocks: Block, stop: str = "end_turn") -> dict[str, Any]:
    """Return a message as one body, from a server that does not stream."""
    return {**_message(), "content": list(blocks), "stop_reason": stop}


def error(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


def sse(event: Event) -> bytes:
    return f"event: {event.get('type')}\ndata: {json.dumps(event)}\n\n".encode()


def _message() -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-test",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": USAGE,
    }


def _block(index: int, block: Block, cut: int | None) -> list[Event]:
    deltas = [{"type": "content_block_delta", "index": index, "delta": each} for each in _deltas(block, cut)]
    empty = {"text": "", "thinking": "", "signature": "", "input": {}}
    begun = {name: empty.get(name, value) for name, value in block.items()}
    start = {"type": "content_block_start", "index": index, "content_block": begun}
    return [start, *deltas, {"type": "content_block_stop", "index": index}]


def _deltas(block: Block, cut: int | None) -> Iterator[dict[str, Any]]:
    match block["type"]:
        case "text":
            yield from ({"type": "text_delta", "text": each} for each in _pieces(block["text"], cut))
        case "thinking":
            for each in _pieces(block["thinking"], cut):
                yield {"type": "thinking_delta", "thinking": each}
            if cut is None:
                yield {"type": "signature_delta", "signature": block["signature"]}
        case "tool_use":
            yield {"type": "input_json_delta", "partial_json": ""}
            given = json.dumps(block["input"]) if block["input"] else ""
            for each in _pieces(given, cut):
                yield {"type": "input_json_delta", "partial_json": each}


def _pieces(whole: str, cut: int | None) -> list[str]:
    whole = whole[:cut]
    return [whole[at : at + PIECE] for at in range(0, len(whole), PIECE)]
