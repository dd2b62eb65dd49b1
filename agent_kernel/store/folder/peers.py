"""Unix sockets by which processes on one store follow and cancel each other's turns.

A server listens on a socket in the store's folder. A process that follows one of its turns connects and gets
a byte for each batch that is written to the turn's journal. The connection ends with the turn, or with the
process. So nothing polls, and nothing waits for a dead process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from agent_kernel.errors import InvalidRequest
from agent_kernel.sockets import reachable
from agent_kernel.store.coordination import UNREACHABLE, FindTurn
from agent_kernel.store.folder.owner import Owner

LONGEST_LINE = 512
NEWS, DONE = b".", b"!"
"""Sent about a turn: its journal has grown; it has ended. A connection that ends without `DONE` ends with its
process."""


class Peers:
    """The socket of one process, and the connections to those of others. `folder` holds all sockets."""

    def __init__(self, folder: Path, owners: Path, owner: Owner) -> None:
        self._folder = folder
        self._owners = owners
        self._owner = owner
        self._find: FindTurn = lambda _: None
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self, find: FindTurn) -> None:
        """Listen. Idempotent."""
        self._find = find
        if self._server is None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for left in self._folder.iterdir():  # by processes that were killed
                if not (self._owners / left.name).exists():
                    left.unlink(missing_ok=True)
            listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            with reachable(self._folder) as short:
                listening.bind(f"{short}/{self._owner.id}")
            self._server = await asyncio.start_unix_server(self._accept, sock=listening, limit=LONGEST_LINE)

    async def aclose(self) -> None:
        """Stop listening and end the connections. Idempotent."""
        if self._server is not None:
            self._server.close()
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)
            self._server = None
            (self._folder / self._owner.id).unlink(missing_ok=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (it is what runs this)
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        with contextlib.suppress(ConnectionError, ValueError, asyncio.CancelledError):
            await self._serve(reader, writer)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        what, response_id, *size = (await reader.readline()).decode().split()
        turns = self._find(response_id)
        if what == "ask":
            question = (await reader.readexactly(int(size[0]))).decode()
            writer.write((await turns.ask(response_id, question)).encode() if turns is not None else b"")
            await writer.drain()
            return
        if turns is not None and what == "cancel":
            await turns.cancel(response_id)
        while turns is not None and (written := turns.written(response_id)) is not None:
            writer.write(NEWS)
            await writer.drain()
            await written.wait()
            turns = self._find(response_id)
        writer.write(DONE)
        await writer.drain()

    async def news(self, owner: str, response_id: str) -> AsyncGenerator[None, None]:
        """See `Coordination`."""
        async with aclosing(self._ask(owner, f"follow {response_id}\n")) as news:
            async for _ in news:
                yield

    async def question(self, owner: str, response_id: str, question: str) -> str:
        """See `Coordination.ask`."""
        said = question.encode()
        connected = await self._connect(owner, f"ask {response_id} {len(said)}\n")
        answer = b""
        if connected is not None:
            reader, writer = connected
            try:
                writer.write(said)
                with contextlib.suppress(ConnectionError):
                    answer = await reader.read()
            finally:
                writer.close()
        if not answer:
            raise _unreachable()
        return answer.decode()

    async def cancel(self, owner: str, response_id: str) -> None:
        """See `Coordination`."""
        async with aclosing(self._ask(owner, f"cancel {response_id}\n")) as news:
            async for _ in news:
                pass

    async def _ask(self, owner: str, line: str) -> AsyncGenerator[None, None]:
        connected = await self._connect(owner, line)
        if connected is not None:
            reader, writer = connected
            try:
                while said := await reader.read(4096):
                    yield
                    if said.endswith(DONE):
                        return
            except ConnectionError:
                pass
            finally:
                writer.close()
        # The process has closed its socket; its lock is released when it has ended.
        await asyncio.to_thread(self._owner.wait_for_end, owner)

    async def _connect(
        self, owner: str, line: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Connect and send a line. Return None if the process is just ending."""
        try:
            with reachable(self._folder) as short:
                reader, writer = await asyncio.open_unix_connection(f"{short}/{os.path.basename(owner)}")
        except ConnectionError:
            return None
        except OSError as error:
            raise _unreachable() from error
        writer.write(line.encode())
        return reader, writer


def _unreachable() -> InvalidRequest:
    hint = "Ask the server that began it."
    return InvalidRequest(UNREACHABLE, hint=hint, param="response_id")
