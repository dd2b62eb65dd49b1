"""Read the bytes of a text table by its file name: unpack, decode, parse. Pure and bounded."""

from __future__ import annotations

import bz2
import lzma
import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath

from agent_kernel.kernel.tables.delimited import DELIMITERS, LOOSE, read_text
from agent_kernel.kernel.tables.encodings import decode
from agent_kernel.kernel.tables.json_tables import SUFFIXES as JSON_SUFFIXES
from agent_kernel.kernel.tables.json_tables import read_json
from agent_kernel.kernel.tables.preview import SHOWN, Extent, NoTable, Preview

PACKED = (".gz", ".bz2", ".xz")
LZMA_MEMORY = 64 << 20

JSON_LIMIT = 1 << 20
"""The largest JSON text read, in bytes: its objects take many times that memory."""


@dataclass(frozen=True)
class TextFile:
    """What the name of a file says about its content."""

    suffix: str
    packed: str = ""

    @property
    def is_json(self) -> bool:
        """Whether it is JSON or JSON lines."""
        return self.suffix in JSON_SUFFIXES


def text_file(path: str) -> TextFile | None:
    """Return the kind of text table that the path names, or None."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(path).suffixes]
    packed = suffixes.pop() if suffixes and suffixes[-1] in PACKED else ""
    known = (*DELIMITERS, *LOOSE, *JSON_SUFFIXES)
    return TextFile(suffixes[-1], packed) if suffixes and suffixes[-1] in known else None


def read_file(data: bytes, kind: TextFile, *, whole: bool, limit: int, extent: Extent = SHOWN) -> Preview:
    """Return the preview of a file, or of its beginning if not `whole`. Raises `NoTable`.

    At most `limit` bytes are unpacked, and at most `JSON_LIMIT` of JSON.
    """
    if kind.packed:
        data, ended = _unpacked(data, kind.packed, limit)
        whole = whole and ended
    if kind.is_json:
        whole = whole and len(data) <= JSON_LIMIT
        data = data[:JSON_LIMIT]
    found = decode(data, whole=whole)
    if kind.is_json:
        preview = read_json(found.text, lines=kind.suffix != ".json", whole=whole, extent=extent)
    else:
        preview = read_text(found.text, kind.suffix, whole=whole, extent=extent)
    if found.note:
        preview.notes.insert(0, found.note)
    return preview


def _unpacked(data: bytes, packed: str, limit: int) -> tuple[bytes, bool]:
    """Return at most `limit` bytes of the content, and whether that is all."""
    try:
        if packed == ".gz":
            gzip = zlib.decompressobj(wbits=31)
            return gzip.decompress(data, limit), gzip.eof and not gzip.unused_data
        other = bz2.BZ2Decompressor() if packed == ".bz2" else lzma.LZMADecompressor(memlimit=LZMA_MEMORY)
        return other.decompress(data, limit), other.eof and not other.unused_data
    except (zlib.error, OSError, lzma.LZMAError, EOFError) as error:
        raise NoTable("it cannot be unpacked") from error
