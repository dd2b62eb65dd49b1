"""The stream protocol, version 2, with no I/O. The host and boxd both use this file.

A frame is a header `!IBI` (payload length, kind, channel) and a payload. Either side opens a channel with
`CALL`: the host takes odd numbers, boxd takes even ones, and each side's numbers grow. The side that was
called ends the channel with `RESULT` or `ERROR`. In between, `EVENT` reports on the call, `DATA` carries
bytes (the first byte names the stream), `EOF` ends one direction, `CREDIT` allows more data, and `CANCEL`,
from the caller, asks the other side to stop.

Channel 0 carries the handshake. The host sends `HELLO` with its version and the methods that it serves; boxd
answers with its own `HELLO`, or with `ERROR` if the versions differ.
"""

from __future__ import annotations

import json
import mmap
import struct

TYPE_CHECKING = False  # the typing module is slow to import, and this file is read at every start
if TYPE_CHECKING:
    from typing import Any, Iterable, TypeVar, Union

    Bytes = Union[bytes, memoryview]
    Received = TypeVar("Received", bytes, memoryview)

_encode = json.JSONEncoder(separators=(",", ":")).encode
VERSION = 2
HEADER = struct.Struct("!IBI")
CREDIT_PAYLOAD = struct.Struct("!I")
MAX_FRAME = 8 << 20
CHUNK = 64 << 10
WINDOW = 512 << 10
"""The credit, in bytes, with which each side begins on every channel."""
FRAME_COST = 64
"""The credit that a `DATA` frame costs in addition to its bytes, so that tiny frames are bounded."""
LEAST_ROOM = 8 << 10
"""The sender waits for credit when it may send fewer bytes: there are no tiny frames at a window's end."""
MAX_OPENED = 512
"""The most channels that boxd may open to one host that says so in its greeting."""
OLD_MAX_OPENED = 128
"""The most channels that boxd may open to a host that does not say."""
MAX_CALL = 4096
"""The size limit in bytes of a `CALL` payload from boxd."""
MAX_METHODS = 64
MAX_NAME = 40
CONFIRM = b"\1"
"""Goes with a host's descriptors to a listening boxd, which sends it back: the kernel may refuse them."""
BUFFER = 512 << 10
"""The size in bytes of the receive buffer."""

HELLO, CALL, RESULT, ERROR, EVENT, DATA, EOF, CREDIT, CANCEL = range(9)
KINDS = frozenset(range(9))

CONTENT, STDOUT, STDERR = 0, 1, 2
"""Streams within a channel: a file's content, and the two outputs of a command."""

CONNECT = "connect"
"""The method by which boxd asks a host for a connection."""


class WireError(Exception):
    """The peer broke the protocol."""


class VersionMismatch(WireError):
    """The peer speaks another version of the protocol: `theirs`, or None if it named none."""

    def __init__(self, theirs: int | None) -> None:
        super().__init__("version %s of the stream protocol, not %d" % (theirs, VERSION))
        self.theirs = theirs


def frame(kind: int, channel: int, payload: bytes = b"") -> bytes:
    """Encode one frame."""
    return HEADER.pack(len(payload), kind, channel) + payload


def encoded(value: dict[str, Any]) -> bytes:
    """Encode a JSON payload."""
    return _encode(value).encode("ascii")


def message(kind: int, channel: int, value: dict[str, Any]) -> bytes:
    """Encode one frame whose payload is JSON."""
    return frame(kind, channel, encoded(value))


def data(channel: int, stream: int, payload: Bytes) -> bytes:
    """Encode a piece of a byte stream."""
    return b"".join((HEADER.pack(len(payload) + 1, DATA, channel), bytes((stream,)), payload))


DATA_HEAD = HEADER.size + 1
"""Bytes before the payload of a `DATA` frame."""


def put_data_head(frame: memoryview, channel: int, stream: int) -> None:
    """Make a `DATA` frame of bytes that were put behind room for its head: they are not copied."""
    HEADER.pack_into(frame, 0, len(frame) - HEADER.size, DATA, channel)
    frame[HEADER.size] = stream


def credit(channel: int, amount: int) -> bytes:
    """Encode permission for the peer to send `amount` more bytes."""
    return frame(CREDIT, channel, CREDIT_PAYLOAD.pack(amount))


def hello(methods: Iterable[str], *, descriptors: bool = False) -> bytes:
    """Encode the greeting of a side that serves `methods`, and takes `MAX_OPENED` channels.

    `descriptors`: it also takes the sockets of connections, which only a UNIX socket carries.
    """
    greeting = {"version": VERSION, "methods": sorted(methods), "channels": MAX_OPENED}
    return message(HELLO, 0, dict(greeting, descriptors=True) if descriptors else greeting)


def parse_hello(payload: Bytes) -> frozenset[str]:
    """Decode a greeting into the methods that the peer serves. Raises `VersionMismatch`, `WireError`."""
    greeting = parse_json(payload)
    version, methods = greeting.get("version"), greeting.get("methods")
    if version != VERSION or isinstance(version, bool):
        raise VersionMismatch(version if isinstance(version, int) else None)
    if not isinstance(methods, list) or len(methods) > MAX_METHODS:
        raise WireError("greeting without a list of methods")
    if not all(isinstance(name, str) and len(name) <= MAX_NAME for name in methods):
        raise WireError("greeting with a method that has no proper name")
    return frozenset(methods)


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
        raise WireError("data without a stream number")
    return payload[0], payload[1:]


def parse_channels(payload: Bytes) -> int:
    """Decode from a greeting how many channels boxd may open. Raises `WireError`."""
    channels = parse_json(payload).get("channels")
    return min(channels, MAX_OPENED) if type(channels) is int and channels >= 0 else OLD_MAX_OPENED


def parse_descriptors(payload: Bytes) -> bool:
    """Decode from a greeting whether the peer takes descriptors. Raises `WireError`."""
    return parse_json(payload).get("descriptors") is True


class Credit:
    """Counts the credit on one channel, in both directions (bytes, `FRAME_COST` for each frame included)."""

    def __init__(self) -> None:
        self._to_send = WINDOW
        self._to_receive = WINDOW
        self._taken = 0

    @property
    def room(self) -> int:
        """How many bytes the next `DATA` frame may carry; 0 means: wait for credit."""
        room = self._to_send - FRAME_COST
        return room if room >= LEAST_ROOM else 0

    def sent(self, size: int) -> None:
        """Count a frame with `size` bytes that was sent."""
        self._to_send -= size + FRAME_COST

    def allowed(self, amount: int) -> None:
        """Count credit that the peer gave."""
        self._to_send += amount

    def received(self, size: int) -> None:
        """Count a frame with `size` bytes that came. Raises `WireError` if there was no credit for it."""
        self._to_receive -= size + FRAME_COST
        if self._to_receive < 0:
            raise WireError("more data than there was credit for")

    def granted(self, amount: int) -> None:
        """Count credit that was given to the peer."""
        self._to_receive += amount

    def taken(self, amount: int, step: int = WINDOW // 2) -> int:
        """Count `amount` of received credit as used up, and return how much to give back now.

        Credit is given back in steps, because each message has its price; 0 means: not yet.
        """
        self._taken += amount
        if self._taken < step:
            return 0
        back, self._taken = self._taken, 0
        self._to_receive += back
        return back


class Decoder:
    """Turns received bytes into `(kind, channel, payload)` frames, wherever they were cut.

    Bytes are received into `space`, and the payloads that `took` returns are views of the same memory, so a
    file's content is not copied. There is no buffer before `space` is asked for, nor after a `feed` that has
    left nothing: a server has many connections that wait.
    """

    def __init__(self) -> None:
        self._buffer = memoryview(b"")
        self._start = self._end = 0

    def space(self) -> memoryview:
        """Return where to put the bytes that come next. Payloads from `took` are void from now on."""
        begun = self._end - self._start
        whole = HEADER.size + HEADER.unpack_from(self._buffer, self._start)[0] if begun >= HEADER.size else 0
        if whole > len(self._buffer):
            room = _room(whole)
        elif not begun and len(self._buffer) != BUFFER:
            room = _room(BUFFER)
        else:
            room = self._buffer
        if self._start or room is not self._buffer:
            room[:begun] = self._buffer[self._start : self._end]
            self._buffer, self._start, self._end = room, 0, begun
        return self._buffer[self._end :]

    def took(self, count: int) -> list[tuple[int, int, memoryview]]:
        """Return the frames that are complete after `count` more bytes in `space`. Raises `WireError`."""
        self._end += count
        frames, self._start = _frames(self._buffer, self._start, self._end)
        return frames

    def feed(self, received: Bytes) -> list[tuple[int, int, bytes]]:
        """Take bytes and return copies of the frames that they complete. Raises `WireError`."""
        if self._start == self._end and len(received) >= HEADER.size:
            length, kind, channel = HEADER.unpack_from(received)
            if len(received) == HEADER.size + length and kind in KINDS:  # one frame, most often
                return [(kind, channel, bytes(received[HEADER.size :]))]
        frames = []
        left = memoryview(received)
        if self._start == self._end:
            whole, used = _frames(left, 0, len(left))
            frames = [(kind, channel, bytes(payload)) for kind, channel, payload in whole]
            left = left[used:]
        while left:
            space = self.space()
            count = min(len(space), len(left))
            space[:count] = left[:count]
            frames += [(kind, channel, bytes(payload)) for kind, channel, payload in self.took(count)]
            left = left[count:]
        if self._start == self._end:
            self._buffer, self._start, self._end = memoryview(b""), 0, 0
        return frames


_PRIVATE: dict[str, int] = {}
if hasattr(mmap, "MAP_PRIVATE"):  # elsewhere there is no other kind
    _PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS}


def _room(size: int) -> memoryview:
    """Return memory that is the process's own only as far as it is used: a bytearray is filled with zeros.

    Raises `MemoryError`.
    """
    try:
        return memoryview(mmap.mmap(-1, size, **_PRIVATE))
    except OSError as error:
        raise MemoryError(str(error)) from error


def _frames(buffer: memoryview, start: int, end: int) -> tuple[list[tuple[int, int, memoryview]], int]:
    """Return the complete frames in a part of a buffer, and where the rest begins. Raises `WireError`."""
    frames = []
    while end - start >= HEADER.size:
        length, kind, channel = HEADER.unpack_from(buffer, start)
        if length > MAX_FRAME or kind not in KINDS:
            raise WireError("not a frame: length %d, kind %d" % (length, kind))
        content = start + HEADER.size
        if end < content + length:
            break
        frames.append((kind, channel, buffer[content : content + length]))
        start = content + length
    return frames, start
