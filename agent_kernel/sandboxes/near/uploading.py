"""Files on their way into a sandbox: in frames, or through a pipe where boxd takes one.

A pipe saves copies on the way: the host writes the bytes once, and boxd reads them into one buffer. Nothing
of the host but the end of that pipe gets into the sandbox, and boxd finds the file's place, so no link or
folder inside can lead the host anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from agent_kernel.sandboxes.boxd import wire
from agent_kernel.sandboxes.calls import Call, Frame

LEAST = 64 << 10
"""Bytes in the first piece of a file that make a pipe worth while."""

_PIPE = 1 << 20
"""Bytes that a pipe holds, if this user may have as many."""


class UploadConnection(Protocol):
    """What an upload needs of the connection to boxd."""

    closed: asyncio.Event
    gives: bool

    def call(
        self, method: str, *, give: int | None = None, **arguments: Any
    ) -> AbstractAsyncContextManager[Call]:
        """Call boxd, and give it a descriptor if that can be done."""
        ...

    async def send(self, encoded: wire.Bytes) -> None:
        """Send a frame."""

    async def send_data(self, call: Call, chunk: bytes) -> None:
        """Send bytes in frames."""

    async def next(self, call: Call) -> Frame:
        """Wait for an answer."""
        ...


async def upload(
    connection: UploadConnection, asked: Mapping[str, Any], content: AsyncIterable[bytes]
) -> bytes:
    """Send a file by the method `put` and return boxd's answer. Raises what `content` and calls raise."""
    pieces = aiter(content)
    first = await anext(pieces, b"")
    async with contextlib.aclosing(_joined(first, pieces)) as all_pieces:
        if len(first) >= LEAST and connection.gives:
            return await _by_pipe(connection, asked, all_pieces)
        async with connection.call("put", **asked) as call:
            return await _in_frames(connection, call, all_pieces)


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    yield first
    async for piece in rest:
        yield piece


async def _in_frames(connection: UploadConnection, call: Call, content: AsyncIterator[bytes]) -> bytes:
    async for piece in content:
        await connection.send_data(call, piece)
        if call.answered:  # it failed: the answer says why
            break
    else:
        await connection.send(wire.frame(wire.EOF, call.number))
    return (await connection.next(call))[1]


async def _by_pipe(
    connection: UploadConnection, asked: Mapping[str, Any], content: AsyncIterator[bytes]
) -> bytes:
    reader, writer = os.pipe()
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(os.fdopen(writer, "wb", 0))
        theirs = stack.enter_context(os.fdopen(reader, "rb", 0))
        with contextlib.suppress(OSError):  # too many large pipes already
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _PIPE)
        os.set_blocking(writer, False)
        async with connection.call("put", give=reader, **asked) as call:
            theirs.close()
            if not call.given:
                return await _in_frames(connection, call, content)
            written = True
            async with _Writer(writer, connection) as pipe:
                async for piece in content:
                    if not (written := await pipe.write(piece)):
                        break  # the answer, or the end of the connection, says why
            ours.close()
            if written:
                await connection.send(wire.frame(wire.EOF, call.number))
            return (await connection.next(call))[1]


class _Writer:
    """Writes to a pipe while the connection lives."""

    def __init__(self, fd: int, connection: UploadConnection) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._free = asyncio.Event()
        self._watch = asyncio.ensure_future(connection.closed.wait())
        self._watch.add_done_callback(lambda _: self._free.set())

    async def __aenter__(self) -> _Writer:
        return self

    async def __aexit__(self, *error: object) -> None:
        self._watch.cancel()

    async def write(self, piece: bytes) -> bool:
        """Write all of it. False: nobody reads any more."""
        view = memoryview(piece)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except BrokenPipeError:
                return False
            except BlockingIOError:
                if self._watch.done():
                    return False
                await self._room()
        return True

    async def _room(self) -> None:
        self._free.clear()
        self._loop.add_writer(self._fd, self._free.set)
        try:
            await self._free.wait()
        finally:
            self._loop.remove_writer(self._fd)
