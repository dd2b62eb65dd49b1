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
    from typing import Any

VERSION = 1
HEADER = struct.Struct("!IBI")
CREDIT_PAYLOAD = struct.Struct("!I")
MAX_FRAME = 8 << 20
CHUNK = 64 << 10
WINDOW = 512 << 10

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


def data(channel: int, stream: int, payload: bytes) -> bytes:
    """Encode a piece of a byte stream, at most `CHUNK` long."""
    return HEADER.pack(len(payload) + 1, DATA, channel) + bytes((stream,)) + payload


def credit(channel: int, amount: int) -> bytes:
    """Encode leave for the peer to send `amount` more bytes."""
    return frame(CREDIT, channel, CREDIT_PAYLOAD.pack(amount))


def parse_json(payload: bytes) -> dict[str, Any]:
    """Decode a JSON object payload. Raises `WireError`."""
    try:
        value = json.loads(payload.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise WireError("payload is not JSON") from error
    if not isinstance(value, dict):
        raise WireError("payload is not a JSON object")
    return value


def parse_credit(payload: bytes) -> int:
    """Decode a `CREDIT` payload. Raises `WireError`."""
    if len(payload) != CREDIT_PAYLOAD.size:
        raise WireError("credit is not four bytes")
    return int(CREDIT_PAYLOAD.unpack(payload)[0])


def parse_data(payload: bytes) -> tuple[int, bytes]:
    """Split a `DATA` payload into stream and bytes. Raises `WireError`."""
    if not payload:
        raise WireError("data names no stream")
    return payload[0], payload[1:]


class Handler:
    """boxd's end of a channel; a frame that a call does not take is a protocol error."""

    def on_data(self, stream: int, payload: bytes) -> None:
        """Bytes came."""
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
    """Turns received bytes into `(kind, channel, payload)` frames, however they were cut."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, received: bytes) -> list[tuple[int, int, bytes]]:
        """Take bytes and return the frames that they complete. Raises `WireError`."""
        self._buffer += received
        frames = []
        start = 0
        with memoryview(self._buffer) as view:  # a slice of the buffer itself would be one more copy
            while len(view) - start >= HEADER.size:
                length, kind, channel = HEADER.unpack_from(view, start)
                if length > MAX_FRAME or kind not in KINDS:
                    raise WireError("not a frame: length %d, kind %d" % (length, kind))
                end = start + HEADER.size + length
                if len(view) < end:
                    break
                frames.append((kind, channel, bytes(view[start + HEADER.size : end])))
                start = end
        del self._buffer[:start]
        return frames
