"""Files that a page sends in pieces: each is written to the container while it arrives."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from agent_kernel.errors import InvalidRequest, TooLarge
from agent_kernel.kernel.panel.held.by_pages import HeldByPages
from agent_kernel.kernel.transfer.originals import Copy

if TYPE_CHECKING:
    from openai.types.containers import FileCreateResponse

    from agent_kernel.kernel.notebook import Notebook

MOST_INCOMING = 16
"""The number of files that arrive at the same time, from all pages."""

LONGEST_NAME = 1000
AHEAD = 2
"""Pieces kept of a file while the container is busy."""


def checked_name(name: str) -> str:
    """Return the path of a file below /mnt/data. Raises `InvalidRequest` for any other path."""
    path = PurePosixPath(name)
    if (
        path.is_absolute()
        or path.as_posix() != name
        or not {".", ".."}.isdisjoint(path.parts)
        or not name.isprintable()
        or '"' in name
    ):
        raise InvalidRequest(f"{name[:80]!r} cannot be the name of a file.", hint="Rename the file.")
    return name


class IncomingFile:
    """One file: its target, and the task that writes it. `part`: it belongs to a folder that arrives."""

    def __init__(self, notebook: Notebook, target: str, size: int, *, part: bool = False) -> None:
        self.part = part
        self.target = target
        self.size = size
        self.received = 0
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue(AHEAD)
        self._written = asyncio.get_running_loop().create_task(self._write(notebook))
        self._written.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def add(self, offset: int, piece: bytes) -> None:
        """Take the piece at `offset`; waits while the container is busy.

        Raises `InvalidRequest` for another offset or too many bytes, and what `ContainerFiles.create` raises.
        """
        if offset != self.received or not piece or offset + len(piece) > self.size:
            raise InvalidRequest("A piece of the file is missing, or there are too many.", hint="Try again.")
        self.received += len(piece)
        put = asyncio.ensure_future(self._pieces.put(piece))
        try:
            await asyncio.wait({put, self._written}, return_when=asyncio.FIRST_COMPLETED)
            if not put.done():
                await self.written()
        finally:
            put.cancel()

    @property
    def complete(self) -> bool:
        """True once all bytes have arrived here."""
        return self.received == self.size

    async def written(self) -> FileCreateResponse:
        """Wait until the file is in the container. Raises what `ContainerFiles.create` raises."""
        return await asyncio.shield(self._written)

    def cancel(self) -> None:
        """Give up; nothing remains of the file."""
        self._written.cancel()

    async def _write(self, notebook: Notebook) -> FileCreateResponse:
        from agent_kernel.kernel.outputs import silent

        container = await notebook.container.open(silent())
        notebook.container.touched()
        files = (await notebook.runtime()).containers.files
        digest, copy = hashlib.sha256(), Copy()
        async with aclosing(self._content(digest, copy)) as content:
            file = await files.create(container.id, path=self.target, content=content, size=self.size)
        notebook.container.touched()
        notebook.uploaded.received(container.id, self.target, self.size, digest.hexdigest(), copy.content)
        return file

    async def _content(self, digest: hashlib._Hash, copy: Copy) -> AsyncGenerator[bytes, None]:
        left = self.size
        while left:
            piece = await self._pieces.get()
            left -= len(piece)
            digest.update(piece)
            copy.add(piece)
            yield piece


class IncomingFiles(HeldByPages[IncomingFile]):
    """The files that arrive now."""

    def __init__(self) -> None:
        super().__init__("uploads", MOST_INCOMING)

    @property
    def targets(self) -> set[str]:
        """The paths of the files that arrive now."""
        return {file.target for file in self}


def check_size(notebook: Notebook, size: int) -> None:
    """Raise `TooLarge` for a file over the notebook's limit."""
    from agent_kernel.kernel.render.text import size as in_words

    most = notebook.settings.max_upload
    if size > most:
        raise TooLarge(
            f"The file has {in_words(size)}; the limit is {in_words(most)}.",
            hint="Upload it compressed or in parts, or raise KernelSettings.max_upload.",
        )
