"""A strict reader of tar archives: what is not needed here is refused, and every length is bounded.

It reads regular files, folders, symbolic and hard links, with extended headers (pax) of one entry. Python's
own reader takes a header of any length into memory, and repairs what it should refuse.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from agent_kernel.runtime.archive.errors import ArchiveInvalid

BLOCK = 512
CHUNK = 256 << 10
LONGEST_EXTENSION = 32 << 10
"""Bytes of an extended header."""

MOST_PADDING = 1 << 20
"""Bytes of zeros at the end."""

ZEROS = bytes(BLOCK)

Kind = Literal["file", "folder", "symlink", "hardlink"]
_KINDS: Mapping[bytes, Kind] = {
    b"0": "file",
    b"\0": "file",
    b"1": "hardlink",
    b"2": "symlink",
    b"5": "folder",
}
_FIELDS = ("path", "linkpath", "size", "mtime", "uid", "gid", "uname", "gname", "hdrcharset")
_OWN = "AGENT_KERNEL."
CONTENT = f"{_OWN}content"
"""The field with the SHA-256 of a file's content, which is elsewhere."""


class TarSource(Protocol):
    """A binary stream."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; `b""` at the end."""
        ...


@dataclass(frozen=True)
class TarEntry:
    """One entry. `path` and `target` are as they are in the archive; `size` in bytes.

    `sparse` says that zeros in it were holes. `content` is the SHA-256 of a content that is elsewhere.
    """

    path: bytes
    kind: Kind
    size: int = 0
    target: bytes = b""
    sparse: bool = False
    content: str = ""
    header: bytes = field(default=b"", repr=False)
    """Its block."""
    extended: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """The fields of its extended header."""


class TarReader:
    """The entries of a tar archive. Iterate once; `read` returns the content of the entry that came last.

    Raises `ArchiveInvalid` for anything that is malformed.
    """

    def __init__(self, source: TarSource) -> None:
        self._source = source
        self._left = 0
        self._padding = 0
        self.position = 0
        """Bytes read so far."""

    def __iter__(self) -> Iterator[TarEntry]:
        """Yield the entries in order."""
        extended: dict[str, bytes] = {}
        while (header := self._header()) is not None:
            kind = header[156:157]
            size = _number(header[124:136])
            if kind == b"x":
                if extended or not 0 < size <= LONGEST_EXTENSION:
                    raise ArchiveInvalid("an extended header is too long, or follows another one")
                extended = _extended(self._block(size))
                continue
            if kind not in _KINDS:
                raise ArchiveInvalid(f"it holds an entry of the type {kind!r}, such as a device or a pipe")
            entry = _entry(header, _KINDS[kind], size, extended)
            extended = {}
            self._left, self._padding = entry.size, -entry.size % BLOCK
            yield entry
            self._skip()
        if extended:
            raise ArchiveInvalid("it ends after an extended header")

    def read(self) -> bytes:
        """Return the next piece of the current entry's content; `b""` after the last one."""
        if not self._left:
            return b""
        piece = self._take(min(CHUNK, self._left))
        self._left -= len(piece)
        return piece

    def _take(self, size: int) -> bytes:
        piece = self._source.read(size)
        if not piece:
            raise ArchiveInvalid("it is cut short")
        self.position += len(piece)
        return piece

    def _exactly(self, size: int) -> bytes:
        pieces = []
        while size:
            pieces.append(self._take(size))
            size -= len(pieces[-1])
        return b"".join(pieces)

    def _block(self, size: int) -> bytes:
        return self._exactly(size + -size % BLOCK)[:size]

    def _skip(self) -> None:
        while self.read():
            pass
        if self._exactly(self._padding).strip(b"\0"):
            raise ArchiveInvalid("there is something between two entries")

    def _header(self) -> bytes | None:
        """Return the next header; None at the end of the archive, after which come only zeros."""
        header = self._exactly(BLOCK)
        if header != ZEROS:
            checked = header[:148] + b" " * 8 + header[156:]
            if _number(header[148:156]) != sum(checked):
                raise ArchiveInvalid("a header is damaged")
            return header
        if self._exactly(BLOCK) != ZEROS:
            raise ArchiveInvalid("its end is damaged")
        rest = 0
        while piece := self._source.read(CHUNK):
            self.position += len(piece)
            rest += len(piece)
            if rest > MOST_PADDING or piece.strip(b"\0"):
                raise ArchiveInvalid("there is something after its end")
        return None


def _entry(header: bytes, kind: Kind, size: int, extended: Mapping[str, bytes]) -> TarEntry:
    path, prefix = _text(header[0:100]), _text(header[345:500])
    if header[257:263] == b"ustar\0" and prefix:
        path = prefix + b"/" + path
    size = _decimal(extended["size"]) if "size" in extended else size
    content = extended.get(CONTENT, b"").decode("ascii", "replace")
    if kind != "file" and (size or content):
        raise ArchiveInvalid("a folder or a link in it has content")
    return TarEntry(
        extended.get("path", path),
        kind,
        size,
        extended.get("linkpath", _text(header[157:257])) if kind in ("symlink", "hardlink") else b"",
        extended.get(f"{_OWN}sparse") == b"1",
        content,
        header,
        extended,
    )


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _number(field: bytes) -> int:
    digits = field.strip(b" \0")
    if not digits:
        return 0
    if not all(0x30 <= each <= 0x37 for each in digits):
        raise ArchiveInvalid("a header has an invalid number")
    return int(digits, 8)


def _decimal(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > 18:
        raise ArchiveInvalid("a header has an invalid number")
    return int(digits)


def _extended(block: bytes) -> dict[str, bytes]:
    """Read the records of an extended header: length, space, name, `=`, value, line feed."""
    found: dict[str, bytes] = {}
    while block:
        digits, space, _ = block[:8].partition(b" ")
        length = _decimal(digits) if space else 0
        record, block = block[len(digits) + 1 : length], block[length:]
        name, equals, value = record.partition(b"=")
        known = name.decode("ascii", "replace")
        if not equals or not value.endswith(b"\n") or known in found:
            raise ArchiveInvalid("an extended header is damaged")
        if known not in _FIELDS and not known.startswith(_OWN):
            raise ArchiveInvalid(f"an extended header has the unknown field {known[:40]!r}")
        found[known] = value[:-1]
    return found
