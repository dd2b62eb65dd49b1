"""Server-sent events, both ways."""

from __future__ import annotations

import codecs
import json
from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from typing import Any, cast, get_args

from openai import BaseModel

from agent_kernel.errors import UpstreamInterrupted
from agent_kernel.protocol.items import ResponseStreamEvent, to_json


def encode(event: ResponseStreamEvent) -> bytes:
    """Make one event's bytes, blank line included. Send them in one chunk: some clients do not reassemble."""
    body = json.dumps(to_json(event), ensure_ascii=False, separators=(",", ":"))
    return f"event: {event.type}\ndata: {body}\n\n".encode()


async def decode(chunks: AsyncIterable[bytes]) -> AsyncGenerator[ResponseStreamEvent, None]:
    """Read events out of a byte stream, cut anywhere; lines may end in LF, CRLF or CR.

    Comments, unknown fields and events of a type that the `openai` package does not know are passed over;
    `[DONE]` ends the stream, and so does its end. Raises `UpstreamInterrupted` for what is not JSON.
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
    """Cut bytes into lines. A CR at the end of a chunk waits for the LF that may belong to it."""

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
    """Make an event from its JSON, or None if the `openai` package knows no event of that type."""
    cls = _TYPES.get(str(value.get("type"))) if isinstance(value, dict) else None
    return cast(ResponseStreamEvent, cls.construct(**value)) if cls is not None else None


def own_event(value: dict[str, Any]) -> ResponseStreamEvent:
    """Make an event that this server emitted from its JSON, also one of a tool that the package has not."""
    event = event_of(value)
    return event if event is not None else cast(ResponseStreamEvent, BaseModel.construct(None, **value))


def _event(text: str) -> ResponseStreamEvent | None:
    try:
        value: Any = json.loads(text)
    except ValueError as error:
        raise UpstreamInterrupted(f"The stream said something that is not JSON: {text[:80]!r}.") from error
    return event_of(value)
