"""The host's end of the stream into a sandbox: handshake, frames, and the channels that are open on it.

What comes out of a sandbox is never trusted. A frame that the protocol does not allow closes the stream
(`ChannelBroken`), and whatever waits for the host to take it is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

from agent_kernel.errors import (
    ChannelBroken,
    ConnectDenied,
    SandboxError,
    SandboxFileError,
    SandboxGone,
    SandboxUnreachable,
)
from agent_kernel.sandboxes.base import ByteStream
from agent_kernel.sandboxes.boxd import wire
from agent_kernel.sandboxes.calls import Call, Frame, reason
from agent_kernel.sandboxes.idle_timeout import Silence
from agent_kernel.sandboxes.incoming import IncomingCalls, Method
from agent_kernel.sandboxes.near.descriptors import Descriptors, may_take
from agent_kernel.sandboxes.socket_stream import SocketStream

CONTENT_CHUNK = 128 << 10
"""Bytes of a file that are sent at once. Four programs handle each piece on its way."""
_RECEIVED = wire.CHUNK * 4
"""Bytes that are received at once."""
HELLO_TIMEOUT = 30.0
CANCEL_TIMEOUT = 10.0
VERDICT_TIMEOUT = 5.0
MESSAGE_LIMIT = 500


class SandboxConnection:
    """Speaks the stream protocol with one boxd: calls to it, and calls from it to `methods`."""

    def __init__(self, stream: ByteStream, methods: Mapping[str, Method]) -> None:
        self._stream = stream
        self._calls: dict[int, Call] = {}
        self._next_number = 1
        self._reader: asyncio.Task[None] | None = None
        self._write_lock = asyncio.Lock()
        self._descriptors: Descriptors | None = None
        if methods and isinstance(stream, SocketStream) and may_take():
            self._descriptors = stream.descriptors
        self._incoming = IncomingCalls(methods, self.send, self._descriptors, self._put)
        self._greeting: asyncio.Future[frozenset[str]] = asyncio.get_running_loop().create_future()
        self._silence = Silence(lambda: bool(self._calls or self._incoming.any), self._ping, self._unanswered)
        self.failure: SandboxError | None = None
        self.closed = asyncio.Event()
        self.peer_methods: frozenset[str] = frozenset()
        self.gives = False
        """Whether descriptors can go with calls."""

    async def greet(self) -> None:
        """Exchange greetings with boxd and begin to read.

        Raises `SandboxGone`, `ChannelBroken` (another version, or no greeting within 30 s). The stream is
        closed on failure and on cancellation.
        """
        self._reader = asyncio.create_task(self._read())
        try:
            takes = self._descriptors is not None
            await self.send(wire.hello(self._incoming.methods, descriptors=takes))
            async with asyncio.timeout(HELLO_TIMEOUT):
                self.peer_methods = await self._greeting
        except TimeoutError:
            await self.aclose()
            raise ChannelBroken("The sandbox started but does not answer.") from None
        except BaseException:
            await self.aclose()
            raise

    @contextlib.asynccontextmanager
    async def call(self, method: str, *, give: int | None = None, **arguments: Any) -> AsyncIterator[Call]:
        """Call boxd. Leaving early cancels the call and waits until boxd has confirmed.

        A copy of the descriptor `give` goes with the call, and the call is `given`, if that can be done now.
        """
        self._check()
        if method not in self.peer_methods:
            raise ChannelBroken(f"The sandbox does not serve {method!r}.", hint="Create a new container.")
        call = self._open()
        try:
            if give is not None:
                call.given = await self._give(call, {"method": method, **arguments, "passed": True}, give)
            if not call.given:
                await self.send(wire.message(wire.CALL, call.number, {"method": method, **arguments}))
            yield call
        except wire.WireError as error:
            raise await self._broken(error) from error
        finally:
            if call.answered or self.failure is not None:
                self._calls.pop(call.number, None)
            else:
                await asyncio.shield(asyncio.ensure_future(self._cancel(call)))

    async def _give(self, call: Call, request: dict[str, Any], fd: int) -> bool:
        if not (self.gives and isinstance(self._stream, SocketStream)):
            return False
        async with self._write_lock:
            self._check()
            return self._stream.give(wire.message(wire.CALL, call.number, request), fd)

    def _open(self) -> Call:
        self._check()
        call = self._calls[self._next_number] = Call(self._next_number)
        self._next_number += 2
        self._silence.begin()
        return call

    async def next(self, call: Call) -> Frame:
        """Wait for the next data, end or result frame.

        Raises `SandboxFileError` for an error that boxd answered, `ConnectDenied` for a refused connection,
        or the error that ended this connection.
        """
        while not call.frames:
            await self.news(call)
        kind, payload = call.frames.popleft()
        if kind == wire.ERROR:
            answer = wire.parse_json(payload)
            if answer.get("code") == "denied":
                raise ConnectDenied(str(answer.get("message"))[:MESSAGE_LIMIT])
            raise SandboxFileError(reason(answer))
        return kind, payload

    async def news(self, call: Call) -> None:
        """Wait until something came for a call. Raises the error that ended this connection."""
        self._check()
        call.news.clear()
        await call.news.wait()

    async def data(self, call: Call, payload: bytes) -> tuple[int, bytes]:
        """Split a data frame into stream and bytes, and give its credit back."""
        stream, data, back = call.take_data(payload)
        if back:
            await self.send(wire.credit(call.number, back))
        return stream, data

    async def send_data(self, call: Call, chunk: bytes) -> None:
        """Send all of `chunk` as far as there is credit, unless boxd answers before."""
        view = memoryview(chunk)
        while view and not call.answered:
            if not (room := call.credit.room):
                await self.news(call)
                continue
            piece = view[: min(room, CONTENT_CHUNK)]
            call.credit.sent(len(piece))
            await self.send(wire.data(call.number, wire.CONTENT, piece))
            view = view[len(piece) :]

    async def send(self, encoded: wire.Bytes) -> None:
        """Send a frame, waiting while boxd does not read. Raises the error that ended this connection."""
        async with self._write_lock:
            self._check()
            try:
                await self._stream.write(encoded)
            except SandboxUnreachable:
                # The reading side is about to learn whether the sandbox or only this stream has ended.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.closed.wait(), VERDICT_TIMEOUT)
                self._check()
                raise

    def _put(self, encoded: bytes) -> bool:
        """Send a frame if that takes no wait. Return whether it is sent."""
        return self.failure is None and isinstance(self._stream, SocketStream) and self._stream.put(encoded)

    async def _cancel(self, call: Call) -> None:
        try:
            async with asyncio.timeout(CANCEL_TIMEOUT):
                await self.send(wire.frame(wire.CANCEL, call.number))
                while True:
                    kind, payload = await self.next(call)
                    if kind == wire.RESULT:
                        return
                    if kind == wire.DATA:
                        await self.data(call, payload)
        except TimeoutError:
            await self._fail(ChannelBroken("The sandbox does not stop its command."))
        except wire.WireError as error:
            await self._broken(error)
        except SandboxError:
            return  # answered by an error, or this connection has ended: either way the call is over
        finally:
            self._calls.pop(call.number, None)

    async def _ping(self) -> None:
        call = self._open()
        try:
            await self.send(wire.message(wire.CALL, call.number, {"method": "ping"}))
            await self.next(call)
        except wire.WireError as error:
            await self._broken(error)
        except SandboxError:
            return  # an answer as well, or the end of the stream, which is reported elsewhere
        finally:
            self._calls.pop(call.number, None)

    async def _unanswered(self) -> None:
        await self._fail(
            SandboxUnreachable(
                "The sandbox has stopped answering, perhaps because a command in it stopped it.",
                hint="Unpause it if it was paused from outside; otherwise delete its container.",
            )
        )

    def _check(self) -> None:
        """Raise the error that ended this connection, if one has."""
        if self.failure is not None:
            raise self.failure

    async def _read(self) -> None:
        failure: SandboxError = SandboxGone("The sandbox is gone: it ended or was removed.")
        try:
            take = partial(self._received, wire.Decoder())
            if isinstance(self._stream, SocketStream):
                await self._stream.take_all(take, _RECEIVED)
            else:
                while received := await self._stream.read(_RECEIVED):
                    take(received)
        except wire.VersionMismatch as mismatch:
            failure = _mismatch(mismatch)
        except wire.WireError as error:
            failure = ChannelBroken(f"The sandbox broke the stream protocol: {error}.")
        except SandboxError as error:
            failure = error
        except OSError as error:
            failure = SandboxGone(f"The stream to the sandbox broke off: {error.strerror or error}.")
        await self._fail(failure)

    def _received(self, decoder: wire.Decoder, received: bytes) -> None:
        self._silence.heard()
        for kind, number, payload in decoder.feed(received):
            self._take(kind, number, payload)

    def _take(self, kind: int, number: int, payload: bytes) -> None:
        if number == 0 or not self._greeting.done():
            self._take_greeting(kind, number, payload)
        elif kind == wire.CALL:
            self._incoming.open(number, payload)
            self._silence.begin()
        elif number % 2:
            self._take_answer(kind, number, payload)
        else:
            self._incoming.take(kind, number, payload)

    def _take_greeting(self, kind: int, number: int, payload: bytes) -> None:
        if kind == wire.ERROR and number == 0:
            raise wire.WireError(str(wire.parse_json(payload).get("message"))[:MESSAGE_LIMIT])
        if kind != wire.HELLO or number != 0 or self._greeting.done():
            raise wire.WireError("a second greeting" if self._greeting.done() else "no greeting")
        self.gives = wire.parse_descriptors(payload) and isinstance(self._stream, SocketStream)
        self._greeting.set_result(wire.parse_hello(payload))

    def _take_answer(self, kind: int, number: int, payload: bytes) -> None:
        if number >= self._next_number:
            raise wire.WireError(f"a frame on channel {number}, which was not opened")
        if (call := self._calls.get(number)) is not None:
            call.receive(kind, payload)

    async def _broken(self, error: wire.WireError) -> ChannelBroken:
        """End this connection because of a frame that breaks the protocol, and return the error to raise."""
        broken = ChannelBroken(f"The sandbox broke the stream protocol: {error}.")
        await self._fail(broken)
        return broken

    async def _fail(self, failure: SandboxError) -> None:
        if self.failure is None:
            self.failure = failure
        if not self._greeting.done():
            self._greeting.set_exception(self.failure)
            self._greeting.exception()  # the opener may have given up already
        for call in self._calls.values():
            call.news.set()
        self._incoming.cancel()
        self.closed.set()
        await self._stream.aclose()

    async def aclose(self, reason: SandboxError | None = None) -> None:
        """Close the stream; commands in the sandbox go on. Idempotent. `reason` is what calls raise."""
        await self._fail(reason or SandboxGone("The connection to the sandbox was closed."))
        await self._silence.aclose()
        await self._incoming.aclose()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)


def _mismatch(mismatch: wire.VersionMismatch) -> ChannelBroken:
    theirs = "no version" if mismatch.theirs is None else f"version {mismatch.theirs}"
    return ChannelBroken(
        f"The sandbox speaks {theirs} of the stream protocol, and this agent-kernel speaks version"
        f" {wire.VERSION}: another release started it.",
        hint="Create a new container, or use the release that started this one.",
    )
