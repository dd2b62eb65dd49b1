"""Reading an archive, which may come from anybody: everything is checked before anything is created."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from agent_kernel.errors import NotFound
from agent_kernel.runtime.archive import manifest as names
from agent_kernel.runtime.archive.contents import (
    ArchivedResponse,
    ArchivedSession,
    read_response,
    read_session,
    read_snapshots,
)
from agent_kernel.runtime.archive.errors import ArchiveInvalid
from agent_kernel.runtime.archive.headers import blocks, with_content
from agent_kernel.runtime.archive.manifest import Manifest, TreeLimits, read_manifest, read_object
from agent_kernel.runtime.archive.shell import SavedShell
from agent_kernel.runtime.archive.stored import StoredContent, check_contents
from agent_kernel.runtime.archive.tar import BLOCK, CHUNK, TarEntry, TarReader
from agent_kernel.runtime.archive.tree import TreeSize, check_tree

LARGEST_JSON = 64 << 20
"""Bytes of one member that is JSON, of one line of another, and of a notebook."""

MOST_RESPONSES = 20_000


@dataclass(frozen=True)
class MemberPlace:
    """Where the content of a member is in the file, in bytes."""

    start: int
    size: int


class SessionArchive:
    """An archive that was checked as a whole; made by `opened_archive`. Methods block."""

    def __init__(self, file: BinaryIO, found: Manifest, places: Mapping[str, MemberPlace]) -> None:
        self._file = file
        self._places = places
        self.manifest = found
        self.tree = TreeSize(0, 0)
        self.session: ArchivedSession
        self.responses: int = 0
        self.snapshots: list[str] = []
        self._stored: Mapping[str, StoredContent] = {}

    def __contains__(self, member: str) -> bool:
        return member in self._places

    def text(self, member: str) -> bytes:
        """Return a small member."""
        place = self._places[member]
        if place.size > LARGEST_JSON:
            raise ArchiveInvalid(f"{member} is too large")
        return self._at(place.start, place.size)

    def lines(self, member: str) -> Iterator[bytes]:
        """Yield the lines of a member."""
        place = self._places[member]
        start, end = place.start, place.start + place.size
        while start < end:
            self._file.seek(start)  # something else may have been read since
            line = self._file.readline(min(end - start, LARGEST_JSON))
            if not line.endswith(b"\n"):
                raise ArchiveInvalid(f"{member} has a line that is too long")
            start += len(line)
            yield line

    def turns(self) -> Iterator[ArchivedResponse]:
        """Yield the turns, each after the one that it continues."""
        for line in self.lines(names.RESPONSES):
            yield read_response(read_object(line, names.RESPONSES))

    def shell(self, member: str = names.SHELL) -> SavedShell | None:
        """Return the state of the shell, or the one at a snapshot, if it is there."""
        return _read_shell(self.text(member)) if member in self else None

    async def files(self, member: str = names.FILES) -> AsyncGenerator[bytes, None]:
        """Yield the files, or those at a snapshot, as a compressed tar archive with their contents."""
        waiting = bytearray()
        with gzip.GzipFile(fileobj=self._part(member)) as source:  # type: ignore[call-overload]  # it only reads
            for entry in TarReader(source):
                if not entry.content:
                    waiting += blocks(entry.header, entry.extended)
                    continue
                stored = self._stored[entry.content]
                yield gzip.compress(waiting + with_content(entry, stored.size), 1)
                for piece in iter(partial(self._content(stored).read, CHUNK), b""):
                    yield piece
                waiting = bytearray(-stored.size % BLOCK)
        yield gzip.compress(waiting + bytes(2 * BLOCK), 1)

    def digests(self, paths: Collection[str], member: str = names.FILES) -> dict[str, str]:
        """Return the SHA-256 of the contents of those of these files in the tree that are there."""
        if not paths or member not in self:
            return {}
        with gzip.GzipFile(fileobj=self._part(member)) as source:  # type: ignore[call-overload]  # it only reads
            entries = ((entry.path.decode("utf-8", "replace"), entry.content) for entry in TarReader(source))
            return {path: content for path, content in entries if content and path in paths}

    def _content(self, stored: StoredContent) -> _Part:
        place = self._places[names.CONTENTS]
        return _Part(self._file, MemberPlace(place.start + stored.start, stored.packed))

    def _part(self, member: str) -> _Part:
        return _Part(self._file, self._places[member])

    def _at(self, start: int, size: int) -> bytes:
        self._file.seek(start)
        content = self._file.read(size)
        if len(content) != size:
            raise ArchiveInvalid("it was changed while it was read")
        return content

    def check(self, limits: TreeLimits) -> None:
        """Read all members. Raises `ArchiveInvalid`."""
        self.session = read_session(read_object(self.text(names.SESSION), names.SESSION))
        known: set[str] = set()
        for turn in self.turns():
            if turn.id in known or (turn.previous_id is not None and turn.previous_id not in known):
                raise ArchiveInvalid("its turns are not in order")
            known.add(turn.id)
            if len(known) > MOST_RESPONSES:
                raise ArchiveInvalid(f"it has more than {MOST_RESPONSES:,} turns")
        if not {self.session.response_id, *self.session.responses} - {None} <= known:
            raise ArchiveInvalid("it lacks turns of its session")
        self.responses = len(known)
        for member in (names.CONTAINER, names.PACKAGES, names.SETTINGS, names.NOTEBOOK):
            if member in self:
                read_object(self.text(member), member)
        if (names.FILES in self) != (names.CONTAINER in self) or (names.SHELL in self) > (
            names.FILES in self
        ):
            raise ArchiveInvalid("it has a container without files, or files without a container")
        self._check_contents(limits)
        self._check_snapshots(limits)
        if names.FILES in self:
            self.shell()
            self.tree = check_tree(self._part(names.FILES), limits, stored=self._stored)

    def _check_contents(self, limits: TreeLimits) -> None:
        if not (names.CONTENTS in self) == (names.INDEX in self) == (names.FILES in self):
            raise ArchiveInvalid("it has files without their contents, or contents without files")
        if names.CONTENTS in self:
            place = self._places[names.CONTENTS]

            def part(start: int, size: int) -> _Part:
                return _Part(self._file, MemberPlace(place.start + start, size))

            self._stored = check_contents(self.lines(names.INDEX), place.size, part, limits)

    def _check_snapshots(self, limits: TreeLimits) -> None:
        if names.SNAPSHOTS in self:
            found = read_object(self.text(names.SNAPSHOTS), names.SNAPSHOTS)
            self.snapshots = read_snapshots(found, names.MOST_SNAPSHOTS)
        for number in range(names.MOST_SNAPSHOTS):
            files, shell = names.snapshot_files(number), names.snapshot_shell(number)
            wanted = number < len(self.snapshots)
            if (files in self) != wanted or (shell in self) > wanted or wanted > (names.FILES in self):
                raise ArchiveInvalid("its snapshots are not those of its list")
            if wanted:
                self.shell(shell)
                check_tree(self._part(files), limits, stored=self._stored)


class _Part:
    """A part of a file, as a stream. Several of one file may be read in turn."""

    def __init__(self, file: BinaryIO, place: MemberPlace) -> None:
        self._file = file
        self._at = place.start
        self._end = place.start + place.size

    def read(self, size: int = -1, /) -> bytes:
        left = self._end - self._at
        self._file.seek(self._at)
        content = self._file.read(left if size < 0 else min(size, left))
        self._at += len(content)
        return content


@contextmanager
def opened_archive(path: Path, limits: TreeLimits | None = None) -> Iterator[SessionArchive]:
    """Open an archive and check all of it. Blocks; it reads the file twice.

    Raises `ArchiveInvalid`, and `NotFound` if there is no such file.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise NotFound(
            f"The archive {path} cannot be read: {error.strerror}.",
            hint="Name a file that `agent-kernel session export` wrote.",
        ) from None
    with file:
        archive = _checked(file)
        archive.check(limits or TreeLimits())
        yield archive


def _checked(file: BinaryIO) -> SessionArchive:
    """Check the outer archive: its members are those of the manifest, with these digests, and no others."""
    hashed = _Hashing(file)
    reader = TarReader(hashed)
    entries = iter(reader)
    found = read_manifest(_first(entries, reader))
    places: dict[str, MemberPlace] = {}
    wanted = iter(found.members)
    ended = False
    for entry in entries:
        member = next(wanted, None)
        if ended or entry.kind != "file":
            raise ArchiveInvalid("it has a member that does not belong there")
        if member is None:
            ended = True
            _check_sum(entry, reader, hashed)
            continue
        if entry.path.decode("ascii", "replace") != member.name or entry.size != member.size:
            raise ArchiveInvalid("its members are not those of its manifest")
        places[member.name] = MemberPlace(reader.position, entry.size)
        digest = hashlib.sha256()
        while piece := reader.read():
            digest.update(piece)
        if digest.hexdigest() != member.sha256:
            raise ArchiveInvalid(f"{member.name} was changed")
    if not ended:
        raise ArchiveInvalid("it is cut short")
    return SessionArchive(file, found, places)


def _first(entries: Iterator[TarEntry], reader: TarReader) -> bytes:
    try:
        entry = next(entries, None)
    except ArchiveInvalid as error:
        raise ArchiveInvalid(
            "it is not a session archive", hint="Name a file that `agent-kernel session export` wrote."
        ) from error
    if entry is None or entry.path != names.MANIFEST.encode() or entry.size > names.LARGEST_MANIFEST:
        raise ArchiveInvalid("it does not begin with a manifest")
    return b"".join(iter(reader.read, b""))


def _check_sum(entry: TarEntry, reader: TarReader, hashed: _Hashing) -> None:
    before = hashed.before_last_block
    if entry.path != names.CHECKSUM.encode() or entry.size != len(before):
        raise ArchiveInvalid("it has a member that does not belong there")
    if b"".join(iter(reader.read, b"")).decode("ascii", "replace") != before:
        raise ArchiveInvalid("its checksum is wrong")


class _Hashing:
    """A stream with the digest of what was read from it before the last read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.before_last_block = ""

    def read(self, size: int, /) -> bytes:
        content = self._file.read(size)
        if size == 512:
            self.before_last_block = self._digest.hexdigest()
        self._digest.update(content)
        return content


def _read_shell(text: bytes) -> SavedShell:
    """Read the state of a shell. Raises `ArchiveInvalid`."""
    try:
        found: Any = json.loads(text)  # names of files in it need not be text
        return SavedShell(str(found["state"]).encode("utf-8", "surrogateescape"), str(found["path"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ArchiveInvalid(f"{names.SHELL} is damaged") from None
