"""The host's end of the stream into a sandbox: commands and files, as calls to boxd.

What comes out of a sandbox is never trusted: a frame that the protocol does not have closes the stream
(`ChannelBroken`), sizes are bounded, and text is text.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from typing import Any

from agent_kernel.errors import ChannelBroken, SandboxError, SandboxFileError, SandboxGone, SandboxUnreachable
from agent_kernel.sandboxes.base import ByteStream
from agent_kernel.sandboxes.boxd import wire
from agent_kernel.sandboxes.calls import (
    Call,
    Changes,
    CommandEvent,
    Exited,
    FileStat,
    Frame,
    Output,
    TimedOut,
    read_file,
    read_outcome,
    reason,
)
from agent_kernel.sandboxes.idle_timeout import Silence
from agent_kernel.sandboxes.launch import SAVED_SHELL

CONTENT_CHUNK = 128 << 10
"""What is sent of a file at once; each piece is handled by four programs on its way."""
HELLO_TIMEOUT = 30.0
CANCEL_TIMEOUT = 10.0
VERDICT_TIMEOUT = 5.0

__all__ = ["Changes", "Channel", "CommandEvent", "Exited", "FileStat", "Output", "Terminal", "TimedOut"]


class Channel:
    """Speaks to one boxd. Open it with `Channel.open`; close it with `aclose` (the sandbox lives on).

    Any method raises `SandboxGone` when the stream ends because the sandbox is dead, `ChannelBroken` when the
    peer breaks the protocol; `closed` is set from then on.
    """

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._calls: dict[int, Call] = {}
        self._numbers = itertools.count(1)
        self._reader: asyncio.Task[None] | None = None
        self._write_lock = asyncio.Lock()
        self._greeting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._silence = Silence(lambda: bool(self._calls), self._ping, self._unanswered)
        self.failure: SandboxError | None = None
        self.closed = asyncio.Event()

    @classmethod
    async def open(cls, stream: ByteStream) -> Channel:
        """Greet boxd on a fresh stream.

        Raises `SandboxGone`, `ChannelBroken` (another version, or no greeting within 30 s). The stream is
        closed on failure and on cancellation.
        """
        channel = cls(stream)
        channel._reader = asyncio.create_task(channel._read())
        try:
            await channel._send(wire.message(wire.HELLO, 0, {"version": wire.VERSION}))
            async with asyncio.timeout(HELLO_TIMEOUT):
                await channel._greeting
        except TimeoutError:
            await channel.aclose()
            raise ChannelBroken("The sandbox started but does not answer.") from None
        except BaseException:
            await channel.aclose()
            raise
        return channel

    async def run(self, command: str, *, timeout: float | None = None) -> AsyncGenerator[CommandEvent, None]:
        """Run a command in the sandbox's shell and stream it; the last event is `Exited` or `TimedOut`.

        Commands given at the same time run one after the other; `timeout` (seconds) counts from the start of
        this one. Closing or cancelling the generator kills the command with all that it started, and returns
        when that is done; the shell and its state live on. A slow consumer slows the command.
        """
        if "\0" in command:
            raise SandboxFileError("A command cannot contain NUL characters.")
        async with self._call("run", command=command, timeout=timeout) as call:
            async for event in self._watch(call):
                yield event

    async def watch(self, job: int, offset: int = 0) -> AsyncGenerator[CommandEvent, None]:
        """Go on with a command that an earlier channel had begun, from `offset` bytes of its output on.

        Raises `SandboxError` if boxd does not know the job (any more).
        """
        async with self._call("watch", job=job, offset=offset) as call:
            async for event in self._watch(call):
                yield event

    async def _watch(self, call: Call) -> AsyncIterator[CommandEvent]:
        while True:
            kind, payload = await self._next(call)
            if kind == wire.DATA:
                stream, data = await self._data(call, payload)
                yield Output("stderr" if stream == wire.STDERR else "stdout", data)
            else:
                yield read_outcome(wire.parse_json(payload))
                return

    async def reset(self) -> None:
        """Begin with a fresh shell: nothing of its state stays. A running command ends."""
        await self._ask("reset")

    async def save_shell(self) -> None:
        """Write the shell's state down where a checkpoint takes it along; waits for a running command.

        Raises `SandboxFileError` if there is no place for it.
        """
        async for event in self.run(f"__boxd_dump {SAVED_SHELL}"):
            if not isinstance(event, Output) and event != Exited(0):
                raise SandboxFileError("The shell's state could not be written down in the sandbox.")

    async def pause(self, *, idle: bool = False) -> bool:
        """Stop every process in the sandbox where it stands; files can still be moved.

        It stays so until `wake`, or until this channel closes. With `idle` it stops only if nothing but
        background processes is under way, from any host, and the next command wakes it; False: it did not.
        """
        return bool((await self._ask("pause", idle=idle)).get("paused"))

    async def wake(self) -> None:
        """Let a paused sandbox go on."""
        await self._ask("wake")

    @contextlib.asynccontextmanager
    async def terminal(self, rows: int, columns: int) -> AsyncIterator[Terminal]:
        """A shell of its own on a pseudo-terminal; leaving hangs up. The agent's shell is another one."""
        async with self._call("terminal", rows=rows, columns=columns) as call:
            yield Terminal(self, call)

    async def put(
        self,
        path: str,
        content: AsyncIterable[bytes],
        *,
        within: str | None = None,
        digest: bool = False,
        executable: bool = False,
    ) -> FileStat:
        """Write a file (folders are made); it appears under its name only when it is whole.

        `within` refuses a path that leads out of that folder, links followed. `digest` has boxd count a
        SHA-256 of what arrived; an `executable` file can be run. Raises `SandboxFileError`, and whatever
        `content` raises; nothing partial is left behind then, nor after a cancellation.
        """
        asked = {"path": path, "within": within, "digest": digest, "executable": executable}
        async with self._call("put", **asked) as call:
            async for chunk in content:
                await self._send_data(call, chunk)
                if call.answered:  # it failed: the answer says why
                    break
            else:
                await self._send(wire.frame(wire.EOF, call.number))
            _, payload = await self._next(call)
            return read_file(wire.parse_json(payload))

    async def get(self, path: str, *, within: str | None = None) -> AsyncGenerator[bytes, None]:
        """Read a regular file in chunks; closing the generator ends that. Raises `SandboxFileError`.

        `within` refuses a path that leads out of that folder, links followed.
        """
        async with self._call("get", path=path, within=within) as call:
            while True:
                kind, payload = await self._next(call)
                if kind == wire.RESULT:
                    return
                _, data = await self._data(call, payload)
                yield data

    async def changes(self, path: str, since: Sequence[FileStat]) -> Changes:
        """What is new, changed or gone below a folder since an earlier `list`."""
        known = {stat.path: [stat.size, stat.modified_ns] for stat in since}
        answer = await self._ask("changes", path=path, since=known)
        return Changes(tuple(read_file(entry) for entry in answer["files"]), tuple(answer["gone"]))

    async def list(self, path: str) -> list[FileStat]:
        """All regular files below a folder, links not followed, at most 20,000 of them."""
        answer = await self._ask("list", path=path)
        return [read_file(entry) for entry in answer["files"]]

    async def stat(self, path: str) -> FileStat:
        """A regular file's size and time of change. Raises `SandboxFileError`."""
        return read_file(await self._ask("stat", path=path))

    async def remove(self, path: str, *, within: str | None = None) -> None:
        """Remove a file or a link. Raises `SandboxFileError`."""
        await self._ask("remove", path=path, within=within)

    async def shutdown(self) -> None:
        """Ask boxd to end, and the whole sandbox with it."""
        await self._ask("shutdown")

    async def _ask(self, method: str, **arguments: Any) -> dict[str, Any]:
        async with self._call(method, **arguments) as call:
            _, payload = await self._next(call)
            return wire.parse_json(payload)

    async def _next(self, call: Call) -> Frame:
        """The next data or result frame. Raises the error that boxd answered, or what ended the channel."""
        while not call.frames:
            await self._news(call)
        kind, payload = call.frames.popleft()
        if kind == wire.ERROR:
            raise SandboxFileError(reason(wire.parse_json(payload)))
        return kind, payload

    async def _news(self, call: Call) -> None:
        self._check()
        call.news.clear()
        await call.news.wait()

    async def _data(self, call: Call, payload: bytes) -> tuple[int, bytes]:
        stream, data, back = call.take_data(payload)
        if back:
            await self._send(wire.credit(call.number, back))
        return stream, data

    async def _send_data(self, call: Call, chunk: bytes) -> None:
        view = memoryview(chunk)
        while view and not call.answered:
            if call.may_send <= 0:
                await self._news(call)
                continue
            size = min(len(view), call.may_send, CONTENT_CHUNK)
            call.may_send -= size
            await self._send(wire.data(call.number, wire.CONTENT, view[:size]))
            view = view[size:]

    @contextlib.asynccontextmanager
    async def _call(self, method: str, **arguments: Any) -> AsyncIterator[Call]:
        """Open a call; leaving early cancels it and waits until boxd has confirmed."""
        self._check()
        number = next(self._numbers)
        call = self._calls[number] = Call(number)
        self._silence.begin()
        try:
            await self._send(wire.message(wire.CALL, number, {"method": method, **arguments}))
            yield call
        except wire.WireError as error:
            await self._fail(ChannelBroken(f"The sandbox broke the stream protocol: {error}."))
            raise ChannelBroken("The sandbox broke the stream protocol.") from error
        finally:
            try:
                if not call.answered and self.failure is None:
                    await asyncio.shield(asyncio.ensure_future(self._cancel(call)))
            finally:
                self._calls.pop(number, None)

    async def _cancel(self, call: Call) -> None:
        try:
            async with asyncio.timeout(CANCEL_TIMEOUT):
                await self._send(wire.frame(wire.CANCEL, call.number))
                while True:
                    kind, payload = await self._next(call)
                    if kind == wire.RESULT:
                        return
                    await self._data(call, payload)
        except TimeoutError:
            await self._fail(ChannelBroken("The sandbox does not stop its command."))
        except SandboxError:
            return  # answered by an error, or the channel has ended: either way nothing runs for us

    async def _ping(self) -> None:
        number = next(self._numbers)
        call = self._calls[number] = Call(number)
        try:
            await self._send(wire.message(wire.CALL, number, {"method": "ping"}))
            await self._next(call)
        except SandboxError:
            return  # an answer as well, or the end of the stream, which says why
        finally:
            self._calls.pop(number, None)

    async def _unanswered(self) -> None:
        await self._fail(
            SandboxUnreachable(
                "The sandbox does not answer any more: it was stopped, perhaps by a command in it.",
                hint="Let it go on if it was paused from outside; otherwise delete its container.",
            )
        )

    def _check(self) -> None:
        """Raise what ended the channel, if something has."""
        if self.failure is not None:
            raise self.failure

    async def _send(self, encoded: bytes) -> None:
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

    async def _read(self) -> None:
        decoder = wire.Decoder()
        failure: SandboxError = SandboxGone("The sandbox is gone: it ended or was removed.")
        try:
            while received := await self._stream.read(wire.CHUNK * 4):
                self._silence.heard()
                for kind, number, payload in decoder.feed(received):
                    self._take(kind, number, payload)
        except wire.WireError as error:
            failure = ChannelBroken(f"The sandbox broke the stream protocol: {error}.")
        except SandboxError as error:
            failure = error
        except OSError as error:
            failure = SandboxGone(f"The stream to the sandbox broke off: {error.strerror or error}.")
        await self._fail(failure)

    def _take(self, kind: int, number: int, payload: bytes) -> None:
        if number == 0:
            self._take_greeting(kind, payload)
            return
        call = self._calls.get(number)
        if call is None:
            return  # an answer to a call that nobody waits for any more
        call.receive(kind, payload)

    def _take_greeting(self, kind: int, payload: bytes) -> None:
        if kind == wire.ERROR:
            raise wire.WireError(str(wire.parse_json(payload).get("message")))
        if kind == wire.HELLO and not self._greeting.done():
            self._greeting.set_result(None)

    async def _fail(self, failure: SandboxError) -> None:
        if self.failure is None:
            self.failure = failure
        if not self._greeting.done():
            self._greeting.set_exception(self.failure)
            self._greeting.exception()  # whoever opened it may already have given up
        for call in self._calls.values():
            call.news.set()
        self.closed.set()
        await self._stream.aclose()

    async def aclose(self) -> None:
        """Close the stream; commands in the sandbox go on. Idempotent."""
        await self._fail(SandboxGone("The connection to the sandbox was closed."))
        await self._silence.aclose()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)


class Terminal:
    """A person's terminal in the sandbox; made by `Channel.terminal`."""

    def __init__(self, channel: Channel, call: Call) -> None:
        self._channel = channel
        self._call = call

    async def read(self) -> bytes | Exited:
        """What the terminal shows next, control sequences and all; `Exited` when its shell has ended."""
        kind, payload = await self._channel._next(self._call)
        if kind == wire.DATA:
            return (await self._channel._data(self._call, payload))[1]
        outcome = read_outcome(wire.parse_json(payload))
        return outcome if isinstance(outcome, Exited) else Exited(130)

    async def write(self, typed: bytes) -> None:
        """Type something."""
        await self._channel._send_data(self._call, typed)

    async def resize(self, rows: int, columns: int) -> None:
        """The window has another size."""
        await self._channel._send(
            wire.message(wire.EVENT, self._call.number, {"rows": rows, "columns": columns})
        )
