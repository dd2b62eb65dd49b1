"""The contents of files in an archive: each once, packed with gzip one after the other, named by its SHA-256.

An index has a line of JSON for each: `sha256` in hex digits, `size` in bytes, and `packed`, its bytes in the
archive.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_kernel.runtime.archive.errors import ArchiveInvalid
from agent_kernel.runtime.archive.manifest import CONTENTS, TreeLimits, read_object
from agent_kernel.runtime.archive.tar import CHUNK, TarSource

_DIGEST = re.compile(r"[0-9a-f]{64}")
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True)
class StoredContent:
    """A content: where it begins among the packed ones, its bytes there, unpacked, and outside of holes."""

    start: int
    packed: int
    size: int
    solid: int


class ContentsTooLarge(ArchiveInvalid):
    """The contents together are more than an archive may hold."""


class _Total:
    """Adds up what the contents have. Raises `ContentsTooLarge`."""

    def __init__(self, limits: TreeLimits) -> None:
        self._limits = limits
        self._count = self._size = self._solid = 0

    def add(self, size: int, solid: int) -> None:
        self.check(size, solid)
        self._count, self._size, self._solid = self._count + 1, self._size + size, self._solid + solid

    def check(self, size: int, solid: int) -> None:
        """Check with one more."""
        limits = self._limits
        if (
            self._solid + solid > limits.size
            or self._size + size > limits.length
            or self._count == limits.entries
        ):
            raise ContentsTooLarge(
                f"its files have more than {limits.size:,} bytes, or there are more than {limits.entries:,}"
            )


class ContentsWriter:
    """Writes contents into one file, and their index. A content that is there already is not kept again.

    Methods block, and raise `OSError`, and `ContentsTooLarge`.
    """

    def __init__(self, packed: Path, limits: TreeLimits) -> None:
        self._file = packed.open("xb")
        self._total = _Total(limits)
        self._known: dict[str, str] = {}
        self._begin()

    def _begin(self) -> None:
        self._start = self._file.tell()
        self._digest = hashlib.sha256()
        self._packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
        self._size = self._solid = 0

    def write(self, piece: bytes) -> None:
        """Add a piece to the content that is being written."""
        self._digest.update(piece)
        self._size += len(piece)
        self._solid += len(piece) if piece.strip(b"\0") else 0
        self._total.check(self._size, self._solid)
        self._file.write(self._packer.compress(piece))

    def end(self) -> str:
        """End the content, and return its SHA-256 in hex digits."""
        self._file.write(self._packer.flush())
        digest = self._digest.hexdigest()
        if digest in self._known:
            self._file.seek(self._start)
            self._file.truncate()
        else:
            self._total.add(self._size, self._solid)
            packed = self._file.tell() - self._start
            self._known[digest] = json.dumps({"sha256": digest, "size": self._size, "packed": packed})
        self._begin()
        return digest

    def close(self) -> str:
        """Close the file, and return the index."""
        self._file.close()
        return "".join(f"{line}\n" for line in self._known.values())


def check_contents(
    index: Iterable[bytes], size: int, part: Callable[[int, int], TarSource], limits: TreeLimits
) -> dict[str, StoredContent]:
    """Read all contents, and return them by their SHA-256. Blocks.

    `size` is that of all of them packed; `part` returns the bytes from a start, so many. Raises
    `ArchiveInvalid`.
    """
    found: dict[str, StoredContent] = {}
    total, start = _Total(limits), 0
    for line in index:
        digest, claimed, packed = _line(line)
        if digest in found or start + packed > size:
            raise ArchiveInvalid(f"the index of {CONTENTS} is damaged")
        solid = _check(part(start, packed), digest, claimed, total)
        total.add(claimed, solid)
        found[digest] = StoredContent(start, packed, claimed, solid)
        start += packed
    if start != size:
        raise ArchiveInvalid(f"the index of {CONTENTS} is damaged")
    return found


def _line(line: bytes) -> tuple[str, int, int]:
    value: Any = read_object(line, f"the index of {CONTENTS}")
    digest, size, packed = value.get("sha256"), value.get("size"), value.get("packed")
    if (
        isinstance(digest, str) and _DIGEST.fullmatch(digest)
        and type(size) is int and type(packed) is int and min(size, packed) > 0
    ):  # fmt: skip
        return digest, size, packed
    raise ArchiveInvalid(f"the index of {CONTENTS} is damaged")


def _check(packed: TarSource, digest: str, claimed: int, total: _Total) -> int:
    """Unpack a content, and return its bytes that are not in holes."""
    hashed, size, solid = hashlib.sha256(), 0, 0
    total.check(claimed, 0)
    try:
        with gzip.GzipFile(fileobj=packed) as source:  # type: ignore[call-overload]  # it only reads
            while piece := source.read(CHUNK):
                hashed.update(piece)
                size += len(piece)
                solid += len(piece) if piece.strip(b"\0") else 0
                total.check(claimed, solid)
                if size > claimed:
                    break
    except EOFError:
        raise ArchiveInvalid("its files are cut short") from None
    except (gzip.BadGzipFile, zlib.error):
        raise ArchiveInvalid("its files are damaged") from None
    if size != claimed or hashed.hexdigest() != digest:
        raise ArchiveInvalid("the content of a file is not what its name says")
    return solid
