"""The encoding and decoding of server-sent events."""

from __future__ import annotations

import codecs
import json
from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from typing import Any, cast, get_args

from openai import BaseModel

from agent_kernel.errors import UpstreamInterrupted
from agent_kernel.protocol.items import ResponseStreamEvent, to_json

OWN = "agent_kernel."
"""The beginning of the types of this project's events."""


def encode(event: ResponseStreamEvent) -> bytes:
    """Return an event as bytes, with its blank line. Send it in one chunk: some clients do not reassemble."""
    return f"event: {event.type}\ndata: {_dumped(_flat(event) or to_json(event))}\n\n".encode()


_dumped = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _flat(event: BaseModel) -> dict[str, Any] | None:
    """Return the JSON of an event of texts and numbers, as every delta is, without a serializer."""
    values = event.__dict__
    if event.model_extra or len(event.model_fields_set) != len(values):
        return None
    return values if all(type(each) in _FLAT or _is_empty(each) for each in values.values()) else None


_FLAT = (str, int)


def _is_empty(value: object) -> bool:
    return isinstance(value, list) and not value


async def decode(chunks: AsyncIterable[bytes]) -> AsyncGenerator[ResponseStreamEvent, None]:
    """Yield the events of a byte stream, split anywhere. Lines may end in LF, CRLF or CR.

    Skips comments, unknown fields, and events of types that the `openai` package does not know and that are
    not this project's. Ends at `[DONE]` or at the end of the stream. Raises `UpstreamInterrupted` for data
    that is not JSON.
    """
    lines = _Lines()
    data: list[str] = []
    async for chunk in chunks:
        for line in lines.feed(chunk):
            if line:
                data += _data(line)
                continue
            text, data = "\n".join(data), []
            if text.strip() == "[DONE]":
                return
            if text and (event := _event(text)) is not None:
                yield event


class _Lines:
    """A splitter of bytes into lines. Holds a CR at the end of a chunk, as its LF may follow."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._rest = ""

    def feed(self, chunk: bytes) -> Iterator[str]:
        text = self._rest + self._decoder.decode(chunk)
        held = "\r" if text.endswith("\r") else ""
        text = text.removesuffix("\r").replace("\r\n", "\n").replace("\r", "\n")
        *lines, rest = text.split("\n")
        self._rest = rest + held
        yield from lines


def _data(line: str) -> list[str]:
    name, _, value = line.partition(":")
    return [value.removeprefix(" ")] if name == "data" else []


def _types() -> dict[str, type[BaseModel]]:
    union = get_args(get_args(ResponseStreamEvent)[0])
    return {get_args(cls.model_fields["type"].annotation)[0]: cls for cls in union}


_TYPES = _types()


def event_of(value: Any) -> ResponseStreamEvent | None:
    """Return the event for its JSON, or None if the `openai` package does not know its type."""
    cls = _TYPES.get(str(value.get("type"))) if isinstance(value, dict) else None
    return cast(ResponseStreamEvent, cls.construct(**value)) if cls is not None else None


def own_event(value: dict[str, Any]) -> ResponseStreamEvent:
    """Return the event for the JSON of an event of this server, even of a type unknown to the package."""
    event = event_of(value)
    return event if event is not None else cast(ResponseStreamEvent, BaseModel.construct(None, **value))


def _event(text: str) -> ResponseStreamEvent | None:
    try:
        value: Any = json.loads(text)
    except ValueError as error:
        raise UpstreamInterrupted(f"The stream contains data that is not JSON: {text[:80]!r}.") from error
    if isinstance(value, dict) and str(value.get("type")).startswith(OWN):
        return own_event(value)
    return event_of(value)
