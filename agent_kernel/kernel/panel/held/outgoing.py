"""Files that a page reads in pieces: the container is read as fast as the page asks."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.panel.messages import LARGEST_BUFFER

if TYPE_CHECKING:
    from openai.types.containers import FileCreateResponse

    from agent_kernel.runtime.base import ContainerFiles

MOST_OUTGOING = 16
"""The number of files that are read at the same time, by all pages."""

AHEAD = 1
"""Pieces kept of a file while the page is busy."""


class OutgoingFile:
    """One file as it was when it was opened: what is written to its end later is left out."""

    def __init__(self, files: ContainerFiles, file: FileCreateResponse, path: str) -> None:
        self.size = file.bytes
        self.sent = 0
        self._path = path
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue(AHEAD)
        self._read = asyncio.get_running_loop().create_task(self._reading(files, file))
        self._read.add_done_callback(lambda task: task.cancelled() or task.exception())

    @property
    def complete(self) -> bool:
        """True once all bytes were given out."""
        return self.sent == self.size

    async def piece(self) -> bytes:
        """Return the next piece, of at most `LARGEST_BUFFER` bytes.

        Raises `InvalidRequest` if the file has become shorter, and what `ContainerFiles.content` raises.
        """
        getting = asyncio.ensure_future(self._pieces.get())
        try:
            await asyncio.wait({getting, self._read}, return_when=asyncio.FIRST_COMPLETED)
            if not getting.done() and self._pieces.empty():
                if self._read.cancelled():
                    raise InvalidRequest(f"{self._path} is no longer read.", hint="Open it again.")
                await self._read  # raises what went wrong
                raise InvalidRequest(f"{self._path} became shorter while it was read.", hint="Open it again.")
            found = await getting
        finally:
            getting.cancel()
        self.sent += len(found)
        return found

    def cancel(self) -> None:
        """Stop reading."""
        self._read.cancel()

    async def _reading(self, files: ContainerFiles, file: FileCreateResponse) -> None:
        left, gathered = self.size, bytearray()
        async with aclosing(files.content(file.container_id, file.id)) as chunks:
            async for chunk in chunks:
                gathered += chunk[:left]
                left -= min(left, len(chunk))
                while len(gathered) >= LARGEST_BUFFER or (gathered and not left):
                    await self._pieces.put(bytes(gathered[:LARGEST_BUFFER]))
                    del gathered[:LARGEST_BUFFER]
                if not left:
                    return
