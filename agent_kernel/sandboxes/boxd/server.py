"""The host's end of the street: connections, calls, and the lease that ends a forgotten sandbox."""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import socket
import struct
import sys

from . import files, wire
from .loop import Loop
from .shell import Job, Shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

READY = "boxd listens\n"
RECENT = 32
"""How many ended jobs can still be watched."""


class Channel:
    """One call of the host, as its handler sees it: credit to send, and a way to answer."""

    def __init__(self, connection: Connection, number: int) -> None:
        self._connection = connection
        self.number = number
        self.credit = wire.WINDOW
        self.handler: wire.Handler | None = None

    def data(self, stream: int, payload: bytes) -> None:
        """Send a piece; the handler keeps within `credit`."""
        self.credit -= len(payload)
        self._connection.send(wire.data(self.number, stream, payload))

    def grant(self, amount: int) -> None:
        """Let the host send that much more."""
        self._connection.send(wire.credit(self.number, amount))

    def tell(self, value: dict[str, Any]) -> None:
        """Say something about the call while it goes on."""
        self._connection.send(wire.message(wire.EVENT, self.number, value))

    def result(self, value: dict[str, Any]) -> None:
        """Answer; the call is over."""
        self._connection.end(self.number, wire.message(wire.RESULT, self.number, value))

    def error(self, code: str, text: str) -> None:
        """Answer that it failed; the call is over."""
        self._connection.end(
            self.number, wire.message(wire.ERROR, self.number, {"code": code, "message": text})
        )


class Watch(wire.Handler):
    """Tells the host a job's output from an offset on, and at last its outcome."""

    def __init__(self, channel: Channel, shell: Shell, job: Job, offset: int) -> None:
        self._channel = channel
        self._shell = shell
        self._job = job
        self._offset = max(offset, job.log.start)
        job.on_change = self._pump
        channel.tell({"job": int(job.number), "offset": self._offset})

    def on_credit(self) -> None:
        """Go on."""
        self._pump()

    def on_cancel(self) -> None:
        """The host wants the command ended; the outcome is still told."""
        self._shell.abort(self._job, "cancelled")

    def on_lost(self) -> None:
        """The host is gone, the command goes on: its output is kept as far as the log reaches."""
        self._job.on_change = lambda: None
        self._shell.throttle(self._job, False)

    def _pump(self) -> None:
        job, channel = self._job, self._channel
        while channel.credit > 0:
            piece = job.log.read(self._offset, min(wire.CHUNK, channel.credit))
            if piece is None:
                break
            channel.data(*piece)
            self._offset += len(piece[1])
        if job.outcome is None:
            self._shell.throttle(job, channel.credit <= 0 and job.log.backlog(self._offset) > wire.WINDOW)
        elif self._offset == job.log.end:
            job.on_change = lambda: None
            channel.result(dict(job.outcome, offset=self._offset))


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
        self._channels: dict[int, Channel] = {}
        self._greeted = False
        self.closed = False
        for fd in self._fds:
            os.set_blocking(fd, False)
            os.set_inheritable(fd, False)
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
            received = os.read(self._fds[0], wire.CHUNK)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self.close()
            return
        try:
            for kind, number, payload in self._decoder.feed(received):
                self._take(kind, number, payload)
        except wire.WireError as error:
            self.send(wire.message(wire.ERROR, 0, {"code": "protocol", "message": str(error)}))
            self.close()

    def _take(self, kind: int, number: int, payload: bytes) -> None:
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

    def _call(self, number: int, request: dict[str, Any]) -> None:
        channel = self._channels[number] = Channel(self, number)
        try:
            channel.handler = self._box.call(channel, request)
        except OSError as error:
            channel.error("os", error.strerror or str(error))
        except (KeyError, TypeError, ValueError) as error:
            channel.error("request", "bad call: %r" % error)

    def _continue(self, channel: Channel, kind: int, payload: bytes) -> None:
        handler = channel.handler or wire.Handler()
        try:
            if kind == wire.CREDIT:
                channel.credit += wire.parse_credit(payload)
                handler.on_credit()
            elif kind == wire.DATA:
                handler.on_data(*wire.parse_data(payload))
            elif kind == wire.EOF:
                handler.on_eof()
            elif kind == wire.CANCEL:
                handler.on_cancel()
                if not isinstance(handler, Watch):
                    channel.error("cancelled", "cancelled")
        except OSError as error:
            handler.on_lost()
            channel.error("os", error.strerror or str(error))

    def send(self, encoded: bytes) -> None:
        """Send, now as far as it goes and the rest when the host reads."""
        if self.closed:
            return
        self._out += encoded
        self._flush()

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


class Box:
    """The sandbox as its host sees it: calls by name, one host at a time, a lease."""

    def __init__(self, loop: Loop, shell: Shell, lease: float) -> None:
        self._loop = loop
        self._shell = shell
        self._lease = lease
        self._jobs: dict[int, Job] = {}
        self._numbers = 0
        self._connection: Connection | None = None
        self._expiry = loop.after(lease, loop.stop)
        self._methods = {
            "run": self.call_run,
            "watch": self.call_watch,
            "put": self.call_put,
            "get": self.call_get,
            "stat": self.call_stat,
            "list": self.call_list,
            "remove": self.call_remove,
            "shutdown": self.call_shutdown,
        }

    def accept(self, read_fd: int, write_fd: int, on_close: Callable[[], None]) -> None:
        """Take a host; the one before it is let go."""
        previous, self._connection = self._connection, None
        if previous is not None:
            previous.close()
        self._expiry.cancel()

        def closed(connection: Connection) -> None:
            on_close()
            if connection is self._connection:
                self._connection = None
                self._expiry = self._loop.after(self._lease, self._loop.stop)

        self._connection = Connection(self._loop, self, read_fd, write_fd, closed)

    def call(self, channel: Channel, request: dict[str, Any]) -> wire.Handler | None:
        """Begin a call and return its handler, or None where it is answered at once."""
        method: Callable[[Channel, dict[str, Any]], wire.Handler | None] = self._methods[request["method"]]
        return method(channel, request)

    def call_run(self, channel: Channel, request: dict[str, Any]) -> wire.Handler:
        """Run a command in the shell and watch it."""
        command = request["command"].encode("utf-8", "surrogateescape")
        self._numbers += 1
        job = Job(self._numbers, command, request.get("timeout"))
        self._jobs[self._numbers] = job
        for number in [n for n, old in self._jobs.items() if old.outcome is not None][:-RECENT]:
            del self._jobs[number]
        watch = Watch(channel, self._shell, job, 0)
        self._shell.submit(job)
        return watch

    def call_watch(self, channel: Channel, request: dict[str, Any]) -> wire.Handler | None:
        """Watch a job that an earlier host began, from an offset on."""
        job = self._jobs.get(request["job"])
        if job is None:
            channel.error("job", "no such command")
            return None
        watch = Watch(channel, self._shell, job, request.get("offset", 0))
        watch.on_credit()
        return watch

    def call_put(self, channel: Channel, request: dict[str, Any]) -> wire.Handler:
        """Take a file."""
        return files.Put(channel, request["path"])

    def call_get(self, channel: Channel, request: dict[str, Any]) -> wire.Handler:
        """Give a file."""
        get = files.Get(channel, request["path"])
        channel.handler = get
        get.on_credit()
        return get

    def call_stat(self, channel: Channel, request: dict[str, Any]) -> None:
        """Describe a file."""
        channel.result(files.stat_file(request["path"]))

    def call_list(self, channel: Channel, request: dict[str, Any]) -> None:
        """Describe all files below a folder."""
        channel.result(files.list_files(request["path"]))

    def call_remove(self, channel: Channel, request: dict[str, Any]) -> None:
        """Remove a file."""
        os.unlink(request["path"])
        channel.result({})

    def call_shutdown(self, channel: Channel, request: dict[str, Any]) -> None:
        """End the sandbox."""
        channel.result({})
        self._loop.stop()


class Listener:
    """Takes hosts from a listening socket: directly, or as descriptors handed over by `attach`."""

    def __init__(self, loop: Loop, box: Box, listening: socket.socket, handed_over: bool) -> None:
        self._loop = loop
        self._box = box
        self._listening = listening
        self._handed_over = handed_over
        listening.setblocking(False)
        loop.watch(listening.fileno(), selectors.EVENT_READ, lambda mask: self._accept())

    def _accept(self) -> None:
        try:
            connected = self._listening.accept()[0]
        except BlockingIOError:
            return
        if not self._handed_over:
            fd = connected.detach()
            self._box.accept(fd, fd, lambda: None)
            return
        self._loop.watch(connected.fileno(), selectors.EVENT_READ, lambda mask: self._take_over(connected))

    def _take_over(self, connected: socket.socket) -> None:
        """Receive the attach program's own input and output; it waits until `connected` closes."""
        self._loop.watch(connected.fileno(), 0, None)
        size = struct.calcsize("ii")
        try:
            _, ancillary, _, _ = connected.recvmsg(1, socket.CMSG_SPACE(size))
            fds = struct.unpack("ii", ancillary[0][2][:size])
        except (OSError, IndexError, struct.error):
            connected.close()
            return
        self._box.accept(fds[0], fds[1], connected.close)


def serve(
    listening: socket.socket,
    handed_over: bool,
    run: str,
    workspace: str,
    environment: dict[str, str],
    lease: float,
) -> None:
    """Run until the lease ends, the host says `shutdown`, or SIGTERM.

    Its own standard output has one line, `READY`, when hosts may come: whoever starts it waits for that.
    """
    if shutil.which("bash", path=environment.get("PATH")) is None:
        sys.exit("it has no bash")
    os.makedirs(run, exist_ok=True)
    os.makedirs(workspace, exist_ok=True)
    loop = Loop()
    signal.signal(signal.SIGTERM, lambda number, stack: loop.stop())
    box = Box(loop, Shell(loop, run, workspace, environment), lease)
    Listener(loop, box, listening, handed_over)
    if handed_over:
        sys.stdout.write(READY)
        sys.stdout.flush()
    loop.run()
