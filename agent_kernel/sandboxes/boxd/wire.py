"""The stream protocol: frames, with no I/O. Both ends use this file.

A frame is a header `!IBI` (payload length, kind, channel) and its payload. The host opens a channel by
`CALL`, choosing its number; `RESULT` or `ERROR` from boxd ends it. In between `EVENT` says something about
it, `DATA` carries bytes (first byte: which stream), `EOF` ends them in one direction, `CREDIT` lets the other
side send that many more bytes, `CANCEL` asks boxd to stop. Each side starts with `WINDOW` bytes of credit on
every channel.
Channel 0 is for `HELLO`, which each side sends first and without waiting for the other.
"""

from __future__ import annotations

import json
import struct

TYPE_CHECKING = False  # the typing module is slow to import, and this file is read at every start
if TYPE_CHECKING:
    from typing import Any, TypeVar, Union

    Bytes = Union[bytes, memoryview]
    Received = TypeVar("Received", bytes, memoryview)

VERSION = 1
HEADER = struct.Struct("!IBI")
CREDIT_PAYLOAD = struct.Struct("!I")
MAX_FRAME = 8 << 20
CHUNK = 64 << 10
WINDOW = 512 << 10
BUFFER = 512 << 10
"""What is received at once, if it is there."""

HELLO, CALL, RESULT, ERROR, EVENT, DATA, EOF, CREDIT, CANCEL = range(9)
KINDS = frozenset(range(9))

CONTENT, STDOUT, STDERR = 0, 1, 2
"""Streams within a channel: a file's content, and the two outputs of a command."""


class WireError(Exception):
    """The peer sent what is no frame."""


def frame(kind: int, channel: int, payload: bytes = b"") -> bytes:
    """Encode one frame."""
    return HEADER.pack(len(payload), kind, channel) + payload


def message(kind: int, channel: int, value: dict[str, Any]) -> bytes:
    """Encode one frame whose payload is JSON."""
    return frame(kind, channel, json.dumps(value, separators=(",", ":")).encode("ascii"))


def data(channel: int, stream: int, payload: Bytes) -> bytes:
    """Encode a piece of a byte stream."""
    return b"".join((HEADER.pack(len(payload) + 1, DATA, channel), bytes((stream,)), payload))


def credit(channel: int, amount: int) -> bytes:
    """Encode leave for the peer to send `amount` more bytes."""
    return frame(CREDIT, channel, CREDIT_PAYLOAD.pack(amount))


def parse_json(payload: Bytes) -> dict[str, Any]:
    """Decode a JSON object payload. Raises `WireError`."""
    try:
        value = json.loads(str(payload, "utf-8"))
    except (ValueError, RecursionError) as error:
        raise WireError("payload is not JSON") from error
    if not isinstance(value, dict):
        raise WireError("payload is not a JSON object")
    return value


def parse_credit(payload: Bytes) -> int:
    """Decode a `CREDIT` payload. Raises `WireError`."""
    if len(payload) != CREDIT_PAYLOAD.size:
        raise WireError("credit is not four bytes")
    return int(CREDIT_PAYLOAD.unpack(payload)[0])


def parse_data(payload: Received) -> tuple[int, Received]:
    """Split a `DATA` payload into stream and bytes. Raises `WireError`."""
    if not payload:
        raise WireError("data names no stream")
    return payload[0], payload[1:]


class Handler:
    """boxd's end of a channel; a frame that a call does not take is a protocol error."""

    def on_data(self, stream: int, payload: Bytes) -> None:
        """Bytes came; they are there until this returns."""
        raise WireError("this call takes no data")

    def on_eof(self) -> None:
        """No more bytes will come."""
        raise WireError("this call takes no data")

    def on_credit(self) -> None:
        """There is more credit to send."""

    def on_event(self, value: dict[str, Any]) -> None:
        """The host says something about it."""
        raise WireError("this call takes no events")

    def on_cancel(self) -> bool:
        """The host wants it stopped; true if the call will still answer by itself."""
        self.on_lost()
        return False

    def on_lost(self) -> None:
        """The host is gone."""


class Decoder:
    """Turns received bytes into `(kind, channel, payload)` frames, however they were cut.

    They are received into `space`, and what `took` returns are views of the same memory: a file's content is
    copied nowhere in between.
    """

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(BUFFER))
        self._start = self._end = 0

    def space(self) -> memoryview:
        """Where to put what comes next. Every payload that `took` has returned is void from now on."""
        begun = self._end - self._start
        whole = HEADER.size + HEADER.unpack_from(self._buffer, self._start)[0] if begun >= HEADER.size else 0
        if whole > len(self._buffer):
            room = memoryview(bytearray(whole))
        elif not begun and len(self._buffer) > BUFFER:
            room = memoryview(bytearray(BUFFER))
        else:
            room = self._buffer
        if self._start or room is not self._buffer:
            room[:begun] = self._buffer[self._start : self._end]
            self._buffer, self._start, self._end = room, 0, begun
        return self._buffer[self._end :]

    def took(self, count: int) -> list[tuple[int, int, memoryview]]:
        """The frames that are complete now that `count` bytes were put into `space`. Raises `WireError`."""
        self._end += count
        frames = []
        while self._end - self._start >= HEADER.size:
            length, kind, channel = HEADER.unpack_from(self._buffer, self._start)
            if length > MAX_FRAME or kind not in KINDS:
                raise WireError("not a frame: length %d, kind %d" % (length, kind))
            content = self._start + HEADER.size
            if self._end < content + length:
                break
            frames.append((kind, channel, self._buffer[content : content + length]))
            self._start = content + length
        return frames

    def feed(self, received: bytes) -> list[tuple[int, int, bytes]]:
        """Take bytes and return copies of the frames that they complete. Raises `WireError`."""
        frames = []
        left = memoryview(received)
        while left:
            space = self.space()
            count = min(len(space), len(left))
            space[:count] = left[:count]
            frames += [(kind, channel, bytes(payload)) for kind, channel, payload in self.took(count)]
            left = left[count:]
        return frames
