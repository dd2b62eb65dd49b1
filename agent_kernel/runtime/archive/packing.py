"""The files and the shells of sandboxes, put into an archive: the content of each file once."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from types import TracebackType

from agent_kernel.errors import AgentKernelError, InvalidRequest, SandboxError
from agent_kernel.runtime.archive import manifest as names
from agent_kernel.runtime.archive.files import PackReport, packed
from agent_kernel.runtime.archive.headers import blocks, without_content
from agent_kernel.runtime.archive.likely_secrets import HeldSecrets, SecretSearch
from agent_kernel.runtime.archive.manifest import TreeLimits
from agent_kernel.runtime.archive.shell import SavedShell, save_shell
from agent_kernel.runtime.archive.stored import ContentsTooLarge, ContentsWriter
from agent_kernel.runtime.archive.tar import BLOCK, TarEntry
from agent_kernel.runtime.archive.tree import TreeSize, check_tree
from agent_kernel.runtime.archive.writing import ArchiveWriter
from agent_kernel.sandboxes.channel import Channel

Progress = Callable[[str, int], None]
"""Gets what is being read, and the bytes of files so far."""


class ArchivePacking:
    """Packs sandboxes into an archive, and looks for secrets in them. Leaving the context ends the contents.

    `left_out` gets what is not in the archive, in words.
    """

    def __init__(
        self,
        writer: ArchiveWriter,
        search: SecretSearch,
        held: HeldSecrets,
        left_out: list[str],
        progress: Progress,
    ) -> None:
        self._writer = writer
        self._search = search
        self._held = held
        self._left_out = left_out
        self._progress = progress
        self._size = 0
        self._contents = ContentsWriter(writer.path(names.CONTENTS), TreeLimits())

    def __enter__(self) -> ArchivePacking:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        index = self._contents.close()
        if kind is None:
            self._writer.add(names.INDEX, index.encode())

    async def add(self, channel: Channel, files: str, shell: str, what: str) -> TreeSize:
        """Add the files and the shell of a sandbox as these members; `what` it is, for the progress.

        Raises `SandboxError`, and `InvalidRequest` for a key of this installation.
        """
        self._progress(what, self._size)
        try:
            saved = await save_shell(channel)
        except SandboxError as error:
            self._left_out.append(f"The shell's variables and functions: {error.message}")
        else:
            self._add_shell(saved, shell)
        whole = self._writer.path("whole")
        try:
            report = await self._receive(channel, whole, what)
            tree = await self._split(whole, self._writer.path(files))
        finally:
            whole.unlink(missing_ok=True)
        named = [f"{each.path}: {each.why}" for each in report.left_out]
        self._left_out += [each for each in named if each not in self._left_out]
        if report.count > len(named):
            self._left_out.append(f"{report.count - len(named):,} more files")
        return tree

    def _add_shell(self, saved: SavedShell, member: str) -> None:
        self._search.variables(saved.state.decode("utf-8", "replace"))
        if self._held.within(saved.state):
            raise InvalidRequest(
                "A variable of the shell holds a key of this installation. Nothing was exported.",
                hint="Unset it, for example with: !unset NAME",
            )
        self._writer.add(member, saved.to_json())

    async def _receive(self, channel: Channel, whole: Path, what: str) -> PackReport:
        """Write what the sandbox packs into a file."""
        report, most = PackReport(), TreeLimits().size
        before = self._size
        with whole.open("xb") as file:
            async with aclosing(packed(channel, report)) as pieces:
                async for piece in pieces:
                    self._size += len(piece)
                    if self._size - before > most:  # what is in there is checked later
                        raise SandboxError(f"The session has more than {most:,} bytes of files.")
                    await asyncio.to_thread(file.write, piece)
                    self._progress(what, self._size)
        return report

    async def _split(self, whole: Path, target: Path) -> TreeSize:
        """Check what a sandbox packed as an import will, and put the contents apart. Cancelling ends it."""
        stopped = threading.Event()

        def split() -> TreeSize:
            with whole.open("rb") as file, gzip.GzipFile(target, "xb", 6, mtime=0) as tree:
                found = check_tree(file, TreeLimits(), partial(self._part, tree, stopped))
                tree.write(bytes(2 * BLOCK))
                return found

        try:
            return await asyncio.to_thread(split)
        except ContentsTooLarge:
            raise InvalidRequest(
                "The files at all snapshots together are too large for an archive. Nothing was exported.",
                hint="To leave the snapshots out, add --no-snapshots.",
            ) from None
        except BaseException:
            stopped.set()
            raise

    def _part(self, tree: gzip.GzipFile, stopped: threading.Event, entry: TarEntry, piece: bytes) -> None:
        """Take a piece of a file, or write the header of an entry that has ended."""
        if stopped.is_set():
            raise AgentKernelError("The export was stopped.")
        self._search(entry, piece)
        if piece:
            self._contents.write(piece)
        elif entry.size:
            tree.write(without_content(entry, self._contents.end()))
        else:
            tree.write(blocks(entry.header, entry.extended))
