"""The check of a tree of files in an archive, before anything of it is unpacked. It reads; it writes nothing.

Every path must begin with the name of a root and stay below it, in folders that came before. Only a file or
a folder of the tree is the target of a link, and nothing is reached through a link.
"""

from __future__ import annotations

import gzip
import posixpath
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent_kernel.runtime.archive.errors import ArchiveInvalid
from agent_kernel.runtime.archive.manifest import TreeLimits
from agent_kernel.runtime.archive.stored import StoredContent
from agent_kernel.runtime.archive.tar import TarEntry, TarReader, TarSource
from agent_kernel.sandboxes.base import WORKSPACE

ROOTS: Mapping[bytes, bytes] = {b"data": WORKSPACE.encode()}
"""The folders of a sandbox that are in an archive, by their name there."""

LONGEST_NAME, LONGEST_PATH, DEEPEST = 255, 4000, 500

Content = Callable[[TarEntry, bytes], None]
"""Gets the content of each file, piece by piece. Every entry ends with an empty piece, also a folder."""


@dataclass(frozen=True)
class TreeSize:
    """What a tree holds."""

    files: int
    size: int


def check_tree(
    compressed: TarSource,
    limits: TreeLimits | None = None,
    content: Content | None = None,
    stored: Mapping[str, StoredContent] | None = None,
) -> TreeSize:
    """Read a whole tree and check it. Blocks. Raises `ArchiveInvalid`.

    With `stored`, the contents of its files are among these, and none is in the tree.
    """
    tree = _Tree(limits or TreeLimits(), content, stored)
    try:
        with gzip.GzipFile(fileobj=compressed) as source:  # type: ignore[call-overload]  # it only reads
            reader = TarReader(source)
            for entry in reader:
                tree.add(entry, reader)
    except EOFError:
        raise ArchiveInvalid("its files are cut short") from None
    except (gzip.BadGzipFile, zlib.error):
        raise ArchiveInvalid("its files are damaged") from None
    return TreeSize(tree.files, tree.size)


class _Tree:
    def __init__(
        self, limits: TreeLimits, content: Content | None, stored: Mapping[str, StoredContent] | None
    ) -> None:
        self._limits = limits
        self._content = content
        self._stored = stored
        self._known: dict[bytes, str] = {}
        self._length = 0
        self.files = 0
        self.size = 0

    def add(self, entry: TarEntry, reader: TarReader) -> None:
        path = entry.path.rstrip(b"/") if entry.kind == "folder" else entry.path
        shown = path[:200].decode("utf-8", "replace")
        _check_path(path, shown)
        parent = path.rpartition(b"/")[0]
        if path in self._known:
            raise ArchiveInvalid(f"it holds {shown!r} twice")
        if (parent and self._known.get(parent) != "folder") or (not parent and entry.kind != "folder"):
            raise ArchiveInvalid(f"{shown!r} is not in a folder of the archive")
        if entry.kind == "hardlink" and self._known.get(entry.target) != "file":
            raise ArchiveInvalid(f"the hard link {shown!r} leads to no file before it")
        if entry.kind == "symlink" and leads_out(path, entry.target):
            raise ArchiveInvalid(f"the link {shown!r} leads outside")
        self._known[path] = "file" if entry.kind == "hardlink" else entry.kind
        if len(self._known) > self._limits.entries:
            raise ArchiveInvalid(f"it holds more than {self._limits.entries:,} files")
        self._read(entry, reader)

    def _read(self, entry: TarEntry, reader: TarReader) -> None:
        self.files += entry.kind == "file"
        self._count(entry.size, 0)
        if self._stored is not None or entry.content:
            self._find(entry, self._stored or {})
        while piece := reader.read():
            self._count(0, 0 if entry.sparse and not piece.strip(b"\0") else len(piece))
            if self._content is not None:
                self._content(entry, piece)
        if self._content is not None:
            self._content(entry, b"")

    def _find(self, entry: TarEntry, stored: Mapping[str, StoredContent]) -> None:
        """Count a content that is elsewhere."""
        found = stored.get(entry.content)
        if entry.size or (entry.content and found is None):
            raise ArchiveInvalid("the content of a file is not where it belongs")
        if found is not None:
            self._count(found.size, found.solid if entry.sparse else found.size)

    def _count(self, length: int, size: int) -> None:
        self._length += length
        self.size += size
        if self._length > self._limits.length:
            raise ArchiveInvalid("its files are too large")
        if self.size > self._limits.size:
            raise ArchiveInvalid(f"its files have more than {self._limits.size:,} bytes")


def _check_path(path: bytes, shown: str) -> None:
    parts = path.split(b"/")
    if parts[0] not in ROOTS or any(part in (b"", b".", b"..") for part in parts) or b"\0" in path:
        raise ArchiveInvalid(f"the path {shown!r} leads outside")
    if len(path) > LONGEST_PATH or len(parts) > DEEPEST or any(len(part) > LONGEST_NAME for part in parts):
        raise ArchiveInvalid(f"the path {shown!r} is too long")


def leads_out(path: bytes, target: bytes) -> bool:
    """Return whether a symbolic link at `path` leads out of its root, by its text alone."""
    root = path.split(b"/")[0]
    folder = ROOTS[root]
    if not target or b"\0" in target or len(target) > LONGEST_PATH:
        return True
    inside = posixpath.join(folder, *path.split(b"/")[1:-1])
    led = posixpath.normpath(posixpath.join(inside, target))
    return led != folder and not led.startswith(folder + b"/")
