"""A host on a stream: frames in and out, and the channels that are open on it."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import selectors
import socket
import struct

from . import wire
from .handler import BoxChannel, BoxHandler
from .loop import Loop, Timer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable


F_SETPIPE_SZ = 1031  # the fcntl module has it from Python 3.10 on
MOST_KEPT = 8
"""Descriptors of the host that may wait for the calls they belong to."""
_SPACE = socket.CMSG_SPACE(MOST_KEPT * struct.calcsize("i"))
SOON = 0.005
"""Seconds. Each message to the host wakes three programs, so a short command sends one message only."""


class Service:
    """The callbacks that a connection needs. The caller fills them in."""

    def __init__(
        self,
        methods: Iterable[str],
        call: Callable[[BoxChannel, dict[str, Any]], BoxHandler | None],
        greeted: Callable[[], None],
        closed: Callable[[HostConnection], None],
    ) -> None:
        self.methods = methods
        self.call = call
        self.greeted = greeted
        self.closed = closed


class HostConnection:
    """A host on a pair of descriptors (one socket, or two pipes)."""

    def __init__(self, loop: Loop, service: Service, read_fd: int, write_fd: int) -> None:
        self._loop = loop
        self._service = service
        self._fds = (read_fd, write_fd)
        self._decoder = wire.Decoder()
        self._out = bytearray()
        self._channels: dict[int, BoxChannel] = {}
        self._opened = 0
        self._most = 0
        self._next = 2
        self._held = b""
        self._release: Timer | None = None
        self._passing: socket.socket | None = None
        self._receiving = _unix_socket(read_fd)
        self._kept: list[int] = []
        self.greeted = False
        self.methods: frozenset[str] = frozenset()
        self.closed = False
        for fd in self._fds:
            os.set_blocking(fd, False)
            os.set_inheritable(fd, False)
            with contextlib.suppress(OSError):  # a socket, or too many large pipes already
                fcntl.fcntl(fd, F_SETPIPE_SZ, wire.WINDOW)
        self._watch()

    def _watch(self) -> None:
        read_fd, write_fd = self._fds
        writing = selectors.EVENT_WRITE if self._out else 0
        if read_fd == write_fd:
            self._loop.watch(read_fd, selectors.EVENT_READ | writing, self._ready)
        else:
            self._loop.watch(read_fd, selectors.EVENT_READ, self._ready)
            self._loop.watch(write_fd, writing, self._ready)

    def _ready(self, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self._flush()
        if mask & selectors.EVENT_READ and not self.closed:
            self._receive()

    def _receive(self) -> None:
        try:
            received = self._read()
        except BlockingIOError:
            return
        except OSError:
            received = 0
        if not received:
            self.close()
            return
        try:
            for kind, number, payload in self._decoder.took(received):
                self._take(kind, number, payload)
        except wire.VersionMismatch as mismatch:
            self._refuse("version", _mismatch(mismatch))
        except wire.WireError as error:
            self._refuse("protocol", str(error))

    def _read(self) -> int:
        """Receive bytes, and keep the descriptors that come with them. Raises `OSError`."""
        space = self._decoder.space()
        if self._receiving is None:
            return os.readv(self._fds[0], [space])
        flags = socket.MSG_CMSG_CLOEXEC
        received, ancillary, _, _ = self._receiving.recvmsg_into([space], _SPACE, flags)
        for level, kind, rights in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self._kept += [fd for (fd,) in struct.iter_unpack("i", rights)]
        if len(self._kept) > MOST_KEPT:
            return 0  # no host of ours does that
        return received

    def passed(self) -> int:
        """Return the caller's descriptor that came with the present call. Raises `ValueError`."""
        if not self._kept:
            raise ValueError("passed")
        return self._kept.pop(0)

    def _refuse(self, code: str, text: str) -> None:
        self.send(wire.message(wire.ERROR, 0, {"code": code, "message": text}))
        self.close()

    def _take(self, kind: int, number: int, payload: memoryview) -> None:
        if not self.greeted:
            if kind != wire.HELLO:
                raise wire.WireError("no greeting")
            self._greet(payload)
        elif kind == wire.CALL:
            if number in self._channels or number % 2 == 0:
                raise wire.WireError("channel %d is in use, or not the host's to open" % number)
            self._call(number, wire.parse_json(payload))
        elif number in self._channels:
            self._continue(self._channels[number], kind, payload)
        elif number == 0:
            raise wire.WireError("a second greeting")
        # else: a call that has just ended may still be spoken to

    def _greet(self, payload: memoryview) -> None:
        """Answer the host's greeting. Until then nothing is sent, so another version gets only an error."""
        self.methods = wire.parse_hello(payload)
        self._most = wire.parse_channels(payload)
        if wire.parse_descriptors(payload):
            self._passing = _unix_socket(self._fds[1])
        self.greeted = True
        self._service.greeted()  # before the answer, which closes this if the host is gone already
        self.send(wire.hello(self._service.methods, descriptors=self._receiving is not None))

    def _call(self, number: int, request: dict[str, Any]) -> None:
        channel = self._channels[number] = BoxChannel(self, number)
        try:
            channel.handler = self._service.call(channel, request)
            if self.closed and channel.handler is not None:
                channel.handler.on_lost()  # the host was gone already, which the call noticed
        except OSError as error:
            channel.error("os", error.strerror or str(error))
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            channel.error("request", "bad call: %r" % error)

    def open(self, method: str, arguments: dict[str, Any]) -> BoxChannel | None:
        """Call the host, or return None if it does not serve `method` or takes no more calls.

        The caller sets `handler` before it returns to the loop.
        """
        if not self._may_open(method):
            return None
        channel = self._new_channel()
        self.send(wire.message(wire.CALL, channel.number, dict(arguments, method=method)))
        return channel if channel.number in self._channels else None  # a broken stream has closed it

    def hand_over(self, method: str, call: bytes, fd: int) -> BoxChannel | None:
        """Call the host as `open` does, and give it a descriptor with the call. None: it cannot be given now.

        `call` is the payload, see `passing`. The descriptor arrives with the first byte of the frame, so
        nothing may wait to be sent before it.
        """
        if self._held or self._out:
            self.send(b"")
        if self._passing is None or self._out or not self._may_open(method):
            return None
        frame = wire.frame(wire.CALL, self._next, call)
        try:
            sent = self._passing.sendmsg(
                [frame], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
            )
        except OSError:  # the host does not read now, or too many descriptors are under way
            return None
        channel = self._new_channel()
        if sent < len(frame):
            self.send(frame[sent:])
        return channel if channel.number in self._channels else None

    def _may_open(self, method: str) -> bool:
        return method in self.methods and self._opened < self._most and not self.closed

    def _new_channel(self) -> BoxChannel:
        number, self._next = self._next, self._next + 2
        channel = self._channels[number] = BoxChannel(self, number)
        self._opened += 1
        return channel

    def _continue(self, channel: BoxChannel, kind: int, payload: memoryview) -> None:
        handler = channel.handler or BoxHandler()
        try:
            if kind == wire.CREDIT:
                channel.credit.allowed(wire.parse_credit(payload))
                handler.on_credit()
            elif kind == wire.DATA:
                stream, data = wire.parse_data(payload)
                channel.credit.received(len(data))
                handler.on_data(stream, data)
            elif kind == wire.EOF:
                handler.on_eof()
            elif kind == wire.EVENT:
                handler.on_event(wire.parse_json(payload))
            else:
                self._end(channel, handler, kind, payload)
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError, struct.error) as error:
            raise wire.WireError("bad frame: %r" % error) from error
        except OSError as error:
            handler.on_lost()
            if channel.ours:
                channel.cancel()
            else:
                channel.error("os", error.strerror or str(error))

    def _end(self, channel: BoxChannel, handler: BoxHandler, kind: int, payload: memoryview) -> None:
        """Take the host's answer to a call of ours, or its wish to stop its own."""
        if channel.ours and kind in (wire.RESULT, wire.ERROR):
            value = wire.parse_json(payload)
            del self._channels[channel.number]
            self._opened -= 1
            answered = handler.on_result if kind == wire.RESULT else handler.on_error
            answered(value)
        elif channel.ours or kind != wire.CANCEL:
            raise wire.WireError("kind %d does not belong on channel %d" % (kind, channel.number))
        elif not handler.on_cancel():
            channel.error("cancelled", "cancelled")

    def send(self, encoded: bytes) -> None:
        """Send a frame: now as far as it goes, the rest when the host reads."""
        if self.closed:
            return
        if self._release is not None:
            self._release.cancel()
            self._release = None
        self._out += self._held + encoded
        self._held = b""
        self._flush()

    def send_soon(self, encoded: bytes) -> None:
        """Send a frame together with the next one, or after `SOON`."""
        self._held += encoded
        if self._release is None:
            self._release = self._loop.after(SOON, lambda: self.send(b""))

    def end(self, number: int, encoded: bytes) -> None:
        """Send the last frame of a channel that the host opened."""
        self._channels.pop(number, None)
        self.send(encoded)

    def _flush(self) -> None:
        waiting = bool(self._out)
        try:
            while self._out:
                del self._out[: os.write(self._fds[1], self._out)]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if waiting or self._out:
            self._watch()

    @property
    def busy(self) -> bool:
        """Whether a call of the host is under way."""
        return len(self._channels) > self._opened

    def close(self) -> None:
        """Let go of the host. Commands go on. Idempotent."""
        if self.closed:
            return
        self.closed = True
        for channel in list(self._channels.values()):
            if channel.handler is not None:
                channel.handler.on_lost()
        self._channels.clear()
        self._opened = 0
        for copy in (self._passing, self._receiving):
            if copy is not None:
                copy.close()
        while self._kept:
            os.close(self._kept.pop())
        for fd in set(self._fds):
            self._loop.watch(fd, 0, None)
            os.close(fd)
        self._service.closed(self)


def passing(method: str, arguments: dict[str, Any]) -> bytes:
    """Return the payload of a call that brings a descriptor; see `HostConnection.hand_over`."""
    return wire.encoded(dict(arguments, method=method, passed=True))


def _unix_socket(fd: int) -> socket.socket | None:
    """Return a UNIX socket under another descriptor, or None if `fd` is something else."""
    copy = os.dup(fd)
    try:
        connected = socket.socket(fileno=copy)
    except OSError:  # a pipe
        os.close(copy)
        return None
    if connected.family == socket.AF_UNIX:
        return connected
    connected.close()
    return None


def _mismatch(mismatch: wire.VersionMismatch) -> str:
    return (
        "this sandbox speaks version %d of the stream protocol and the host speaks version %s;"
        " create a new container, or use the release of agent-kernel that started this one"
    ) % (wire.VERSION, mismatch.theirs)
