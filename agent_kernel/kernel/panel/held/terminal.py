"""One terminal into the container, as a page shows it.

A piece is kept until the page asks for the next one, so that an answer that was lost is given again. A
program that prints without end is read no faster than the page asks.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.panel.messages import WithBuffer

if TYPE_CHECKING:
    from agent_kernel.runtime.front_ends import ContainerTerminal

MOST_TERMINALS = 8
"""The number of terminals of all pages."""

KEPT = 256 << 10
"""Bytes that wait for the page; then the terminal waits."""

ANSWER_SECONDS = 20.0
"""Seconds after which a page gets an empty piece: its next question says that it is still there."""


class OpenTerminal:
    """One terminal of a page. It is opened at once; `cancel` hangs up."""

    def __init__(self, opening: AbstractAsyncContextManager[ContainerTerminal]) -> None:
        self._opened = asyncio.get_running_loop().create_future()
        self._shown = bytearray()
        self._last = b""
        self._number = 0
        self._code: int | None = None
        self._news, self._room = asyncio.Event(), asyncio.Event()
        self._reading, self._typing = asyncio.Lock(), asyncio.Lock()
        self._run = asyncio.get_running_loop().create_task(self._carry(opening))
        self._run.add_done_callback(self._over)

    async def opened(self) -> ContainerTerminal:
        """Wait until it is open. Raises what `OpensTerminals.terminal` raises."""
        found: ContainerTerminal = await asyncio.shield(self._opened)
        return found

    async def read(self, seen: int) -> WithBuffer:
        """Return the next piece, or the last one again if the page has `seen` only the one before.

        It may be empty. `code` is how the shell ended, once all is shown. Raises what ended the terminal.
        """
        async with self._reading:
            if seen == self._number:
                await self._wait()
                self._last = bytes(self._shown)
                self._number += 1
                self._shown.clear()
                self._room.set()
                if not self._last and self._run.done() and self._code is None:
                    await self._run
            return WithBuffer(self._last, number=self._number, code=None if self._last else self._code)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while not self._shown and not self._run.done():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return

    async def write(self, typed: bytes) -> None:
        """Type something, after what was typed before."""
        async with self._typing:
            terminal = await self.opened()
            if not self._run.done():
                await terminal.write(typed)

    async def resize(self, rows: int, columns: int) -> None:
        """Resize the window."""
        terminal = await self.opened()
        if not self._run.done():
            await terminal.resize(rows, columns)

    def cancel(self) -> None:
        """Hang up."""
        self._run.cancel()

    async def _carry(self, opening: AbstractAsyncContextManager[ContainerTerminal]) -> None:
        async with opening as terminal:
            self._opened.set_result(terminal)
            while isinstance(piece := await terminal.read(), bytes):
                self._shown += piece
                self._news.set()
                while len(self._shown) >= KEPT:
                    self._room.clear()
                    await self._room.wait()
            self._code = piece.code

    def _over(self, run: asyncio.Task[None]) -> None:
        error = InvalidRequest("The terminal was closed.") if run.cancelled() else run.exception()
        if not self._opened.done():
            self._opened.set_exception(error or InvalidRequest("The terminal ended at once."))
            self._opened.exception()  # nobody may wait for it
        self._news.set()
