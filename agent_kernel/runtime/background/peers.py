"""Other processes on the same store: told when a turn's journal grows, and asked to cancel one.

A server listens on a socket beside the store. Who follows one of its turns from another process connects and
gets a byte for each batch that is written on the turn's journal; the connection ends with the turn, or with
the process, however that ends. So nobody polls, and nobody waits for a process that is dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path

from agent_kernel.errors import InvalidRequest
from agent_kernel.runtime.background.background import Background
from agent_kernel.sandboxes.bubblewrap.socket import reachable

LONGEST_LINE = 512
NEWS, DONE = b".", b"!"
"""What is said of a turn: its journal has grown; it has ended. A connection that ends without the latter ends
with its process."""


class Peers:
    """The socket of one process, and the way to those of others. `find` tells where a turn runs here."""

    def __init__(self, folder: Path, owner: str, find: Callable[[str], Background | None]) -> None:
        self._folder = folder / "peers"
        self._locks = folder / "owners"  # what `ownership` keeps there
        self._owner = owner
        self._find = find
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. Idempotent."""
        if self._server is None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for left in self._folder.iterdir():  # by processes that were killed
                if not (self._locks / left.name).exists():
                    left.unlink(missing_ok=True)
            listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            with reachable(self._folder) as short:
                listening.bind(f"{short}/{self._owner}")
            self._server = await asyncio.start_unix_server(self._accept, sock=listening, limit=LONGEST_LINE)

    async def aclose(self) -> None:
        """Listen no more, and end the connections. Idempotent."""
        if self._server is not None:
            self._server.close()
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)
            self._server = None
            (self._folder / self._owner).unlink(missing_ok=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (it is what runs this)
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        with contextlib.suppress(ConnectionError, ValueError, asyncio.CancelledError):
            await self._serve(reader, writer)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        what, response_id = (await reader.readline()).decode().split()
        background = self._find(response_id)
        if background is not None and what == "cancel":
            await background.cancel(response_id)
        while background is not None and (written := background.written(response_id)) is not None:
            writer.write(NEWS)
            await writer.drain()
            await written.wait()
        writer.write(DONE)
        await writer.drain()

    async def news(self, owner: str, response_id: str) -> AsyncGenerator[None, None]:
        """One for each time that the journal of that process's turn has grown, the first at once.

        Ends with the turn, or when the process has ended. Raises `InvalidRequest` if it cannot be reached.
        """
        async with aclosing(self._ask(owner, f"follow {response_id}\n")) as news:
            async for _ in news:
                yield

    async def cancel(self, owner: str, response_id: str) -> None:
        """Have that process cancel its turn, and wait until it has. Raises as `news` does."""
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
        await self._ends(owner)

    async def _connect(
        self, owner: str, line: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Ask it something; None if the process is just ending."""
        try:
            with reachable(self._folder) as short:
                reader, writer = await asyncio.open_unix_connection(f"{short}/{os.path.basename(owner)}")
        except ConnectionError:
            return None
        except OSError as error:
            raise InvalidRequest(
                "The response runs in another process on this store, which cannot be reached.",
                hint="Ask the server that it was begun on.",
                param="response_id",
            ) from error
        writer.write(line.encode())
        return reader, writer

    async def _ends(self, owner: str) -> None:
        """Wait for the end of a process that has closed its socket: its lock is let go of with it."""

        def wait() -> None:
            with contextlib.suppress(FileNotFoundError), (self._locks / owner).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH)

        await asyncio.to_thread(wait)
