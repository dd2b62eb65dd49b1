"""The bytes of one answer, watched while the `openai` package reads its events from them."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

_DONE = re.compile(rb"(?:^|[\r\n])data: ?\[DONE\]")
_FIELD = re.compile(r"(?:data|event|id|retry)?:")
_EMPTY = b" \t\r\n\xef\xbb\xbf"
_TAIL = 16  # bytes: more than `data: [DONE]` has
_KEPT = 4096  # bytes at the beginning and at the end of an answer


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

    def text(self) -> str:
        """Return the beginning of a body that is not a stream; empty for a stream."""
        return self._incoming.text()


class Incoming:
    """Watches the body of a response.

    The package stops at `[DONE]` silently: `done` is true then. A body that is JSON and no stream is gathered
    in `body`, and the package sees an empty one; servers send it with any content type. `check_size` is
    called with the bytes read so far; its errors end the answer.
    """

    def __init__(self, response: Any, check_size: Callable[[int], None]) -> None:
        self.done = False
        self.body = bytearray()
        self._check_size = check_size
        self._read = response.aiter_bytes
        self._bytes = 0
        self._begin = b""
        self._end = b""
        response.aiter_bytes = self._watched

    async def _watched(self, *arguments: Any, **options: Any) -> AsyncIterator[bytes]:
        async for piece in self._read(*arguments, **options):
            self._bytes += len(piece)
            self._check_size(self._bytes)
            if not self._begin:
                piece = piece.lstrip(_EMPTY)
            if len(self._begin) < _KEPT:
                self._begin += piece[:_KEPT]
            if self._begin.startswith((b"{", b"[")):
                self.body += piece
                continue
            self.done = self.done or _DONE.search(self._end[-_TAIL:] + piece) is not None
            self._end = self._end[-_KEPT:] + piece
            yield piece

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


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
