"""A host on a stream: frames in and out, and the calls under way on it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import struct

from . import wire
from .loop import Loop, Timer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .server import Box


F_SETPIPE_SZ = 1031  # the fcntl module has it from Python 3.10 on
SOON = 0.005
"""Seconds. Between us and the host each message wakes three programs: a short command is to need but one."""


class BoxChannel:
    """One call of the host, as its handler sees it: credit to send, and a way to answer."""

    def __init__(self, connection: Connection, number: int) -> None:
        self.connection = connection
        self.number = number
        self.credit = wire.WINDOW
        self.handler: wire.Handler | None = None

    def data(self, stream: int, payload: bytes) -> None:
        """Send a piece; the handler keeps within `credit`."""
        self.credit -= len(payload)
        self.connection.send(wire.data(self.number, stream, payload))

    def grant(self, amount: int) -> None:
        """Let the host send that much more."""
        self.connection.send(wire.credit(self.number, amount))

    def tell(self, value: dict[str, Any]) -> None:
        """Say something about the call while it goes on: with what is sent next, or by itself soon."""
        self.connection.send_soon(wire.message(wire.EVENT, self.number, value))

    def result(self, value: dict[str, Any]) -> None:
        """Answer; the call is over."""
        self.connection.end(self.number, wire.message(wire.RESULT, self.number, value))

    def error(self, code: str, text: str) -> None:
        """Answer that it failed; the call is over."""
        self.connection.end(
            self.number, wire.message(wire.ERROR, self.number, {"code": code, "message": text})
        )


class Connection:
    """A host on a pair of descriptors (one socket, or two pipes)."""

    def __init__(
        self, loop: Loop, box: Box, read_fd: int, write_fd: int, on_close: Callable[[Connection], None]
    ) -> None:
        self._loop = loop
        self._box = box
        self._fds = (read_fd, write_fd)
        self._on_close = on_close
        self._decoder = wire.Decoder()
        self._out = bytearray()
        self._channels: dict[int, BoxChannel] = {}
        self._held = b""
        self._release: Timer | None = None
        self._greeted = False
        self.closed = False
        for fd in self._fds:
            os.set_blocking(fd, False)
            os.set_inheritable(fd, False)
            with contextlib.suppress(OSError):  # a socket, or too many large pipes already
                fcntl.fcntl(fd, F_SETPIPE_SZ, wire.WINDOW)
        self._watch()
        self.send(wire.message(wire.HELLO, 0, {"version": wire.VERSION}))

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
            received = os.readv(self._fds[0], [self._decoder.space()])
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
        except wire.WireError as error:
            self.send(wire.message(wire.ERROR, 0, {"code": "protocol", "message": str(error)}))
            self.close()

    def _take(self, kind: int, number: int, payload: memoryview) -> None:
        if kind == wire.HELLO:
            self._greet(wire.parse_json(payload))
        elif not self._greeted:
            raise wire.WireError("no greeting")
        elif kind == wire.CALL:
            if number in self._channels or number == 0:
                raise wire.WireError("channel is in use")
            self._call(number, wire.parse_json(payload))
        elif number in self._channels:  # a call that has just ended may still be spoken to
            self._continue(self._channels[number], kind, payload)

    def _greet(self, hello: dict[str, Any]) -> None:
        if hello.get("version") != wire.VERSION:
            raise wire.WireError("boxd speaks version %d" % wire.VERSION)
        self._greeted = True
        self._box.greeted()

    def _call(self, number: int, request: dict[str, Any]) -> None:
        channel = self._channels[number] = BoxChannel(self, number)
        try:
            channel.handler = self._box.call(channel, request)
        except OSError as error:
            channel.error("os", error.strerror or str(error))
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            channel.error("request", "bad call: %r" % error)

    def _continue(self, channel: BoxChannel, kind: int, payload: memoryview) -> None:
        handler = channel.handler or wire.Handler()
        try:
            if kind == wire.CREDIT:
                channel.credit += wire.parse_credit(payload)
                handler.on_credit()
            elif kind == wire.DATA:
                handler.on_data(*wire.parse_data(payload))
            elif kind == wire.EOF:
                handler.on_eof()
            elif kind == wire.EVENT:
                handler.on_event(wire.parse_json(payload))
            elif kind == wire.CANCEL and not handler.on_cancel():
                channel.error("cancelled", "cancelled")
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError, struct.error) as error:
            raise wire.WireError("bad frame: %r" % error) from error
        except OSError as error:
            handler.on_lost()
            channel.error("os", error.strerror or str(error))

    def send(self, encoded: bytes) -> None:
        """Send, now as far as it goes and the rest when the host reads."""
        if self.closed:
            return
        if self._release is not None:
            self._release.cancel()
            self._release = None
        self._out += self._held + encoded
        self._held = b""
        self._flush()

    def send_soon(self, encoded: bytes) -> None:
        """Send together with what is sent next, at the latest after `SOON`."""
        self._held += encoded
        if self._release is None:
            self._release = self._loop.after(SOON, lambda: self.send(b""))

    def end(self, number: int, encoded: bytes) -> None:
        """Send the last frame of a channel."""
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
    def greeted(self) -> bool:
        """Whether the host has said who it is; before that it is none."""
        return self._greeted

    @property
    def busy(self) -> bool:
        """Whether a call is under way."""
        return bool(self._channels)

    def close(self) -> None:
        """Let go of the host. Commands go on. Idempotent."""
        if self.closed:
            return
        self.closed = True
        for channel in list(self._channels.values()):
            if channel.handler is not None:
                channel.handler.on_lost()
        self._channels.clear()
        for fd in set(self._fds):
            self._loop.watch(fd, 0, None)
            os.close(fd)
        self._on_close(self)
