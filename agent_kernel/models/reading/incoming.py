"""The body of one answer: the JSON of its server-sent events, or one JSON body."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, suppress
from typing import Any

import anyio
import httpx2

_FIELD = re.compile(r"(?:data|event|id|retry)?:")
_EMPTY = b" \t\r\n\xef\xbb\xbf"
_KEPT = 4096  # bytes at the beginning and at the end of an answer
_REST = 0.1
"""Seconds for what follows the end of an answer. A connection that was read to the end can be used again."""


class Events:
    """The events of one answer. `done` is true once the server has sent `[DONE]`."""

    def __init__(self, events: AsyncIterator[Any], incoming: Incoming) -> None:
        self._events = events
        self._incoming = incoming

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._events

    @property
    def done(self) -> bool:
        """Whether the server has marked its answer as complete."""
        return self._incoming.done

    async def end(self) -> None:
        """Read what follows the event that ends the answer, so that its connection can be used again.

        Waits a tenth of a second at most. Nothing that comes then is part of the answer.
        """
        await self._incoming.drain()

    def text(self) -> str:
        """Return the beginning of a body that is not a stream; empty for a stream."""
        return self._incoming.text()


class Incoming:
    """Reads the body of a response.

    `done` is true once `[DONE]` has arrived. A body that is JSON and no stream is gathered in `body`; servers
    send it with any content type. `check_size` is called with the bytes read so far; its errors end the
    answer.
    """

    def __init__(self, response: httpx2.Response, check_size: Callable[[int], None]) -> None:
        self.done = False
        self.body = bytearray()
        self._response = response
        self._check_size = check_size
        self._bytes = 0
        self._begin = b""
        self._end = b""
        self._lines = _Lines()
        self._pieces: AsyncIterator[bytes] | None = None

    async def events(self) -> AsyncGenerator[Any, None]:
        """Yield the JSON of each event, as it arrives.

        Raises `ValueError` and `RecursionError` for data that cannot be read, and what the HTTP library
        raises.
        """
        async with aclosing(self._response.aiter_bytes()) as pieces:
            self._pieces = pieces
            async for piece in pieces:
                for data in self._read(piece):
                    if data.startswith(b"[DONE]"):
                        self.done = True
                        await self.drain()
                        return
                    yield json.loads(data.decode())

    def _read(self, piece: bytes) -> Iterator[bytes]:
        """Yield the data of the events that end in this piece."""
        self._bytes += len(piece)
        self._check_size(self._bytes)
        if not self._begin:
            piece = piece.lstrip(_EMPTY)
        if len(self._begin) < _KEPT:
            self._begin += piece[:_KEPT]
        if self._begin.startswith((b"{", b"[")):
            self.body += piece
            return
        self._end = piece[-_KEPT:] if len(piece) >= _KEPT else self._end[len(piece) - _KEPT :] + piece
        yield from self._lines.data(piece)

    async def drain(self) -> None:
        """Read on to the end of the body, `_REST` seconds at most."""
        if self._pieces is None:
            return
        with suppress(TimeoutError, httpx2.HTTPError, ssl.SSLError, anyio.EndOfStream):
            async with asyncio.timeout(_REST):
                async for _ in self._pieces:
                    pass

    def text(self) -> str:
        """Return the beginning of a body that is not a stream; empty for a stream."""
        text = self._begin.decode(errors="replace")
        return "" if _FIELD.match(text) else text

    def error_text(self) -> str:
        """Return the last event's data if it is text, not JSON, as some servers send errors."""
        events = re.split(r"\r?\n\r?\n", self._end.decode(errors="replace"))
        for event in reversed(events):
            lines = [line.partition(":") for line in event.splitlines()]
            data = "\n".join(value.strip() for name, _, value in lines if name == "data")
            if data and not data.startswith(("{", "[")) and not _is_json(data):
                return data
        return ""


class _Lines:
    """Splits a stream at LF, CR or CRLF, and joins the `data` of each event, in linear time.

    https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
    """

    def __init__(self) -> None:
        self._unended: list[bytes] = []
        self._after_cr = False
        self._data: list[bytes] = []

    def data(self, piece: bytes) -> Iterator[bytes]:
        """Yield the data of the events that end in this piece."""
        for line in self._ended(piece):
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
            elif not line and self._data:
                whole = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                self._data.clear()
                yield whole

    def _ended(self, piece: bytes) -> list[bytes]:
        """Return the lines that end in this piece."""
        if self._after_cr:
            piece = piece.removeprefix(b"\n")
        self._after_cr = piece.endswith(b"\r") or (self._after_cr and not piece)
        if b"\r" in piece:
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\n" not in piece:
            self._unended.append(piece)
            return []
        *lines, rest = b"".join((*self._unended, piece)).split(b"\n")
        self._unended = [rest] if rest else []
        return lines


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
