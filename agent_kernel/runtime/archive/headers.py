"""Headers of a tar archive, written again: for a content that follows, or for one that is elsewhere."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping

from agent_kernel.runtime.archive.tar import BLOCK, CONTENT, TarEntry

_SIZE, _SUM = slice(124, 136), slice(148, 156)


def blocks(header: bytes, extended: Mapping[str, bytes]) -> bytes:
    """Return the blocks before an entry's content: an extended header, if it has one, and its header."""
    if not extended:
        return header
    records = b"".join(_record(name, value) for name, value in extended.items())
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, len(records)
    return info.tobuf(tarfile.USTAR_FORMAT) + records + bytes(-len(records) % BLOCK) + header


def without_content(entry: TarEntry, digest: str) -> bytes:
    """Return the blocks of a file that has no content, but the SHA-256 of it in hex digits."""
    extended = {name: value for name, value in entry.extended.items() if name != "size"}
    header = bytearray(entry.header)
    header[_SIZE] = b"%011o\0" % 0
    header[_SUM] = b" " * 8
    header[_SUM] = b"%06o\0 " % sum(header)
    return blocks(bytes(header), {**extended, CONTENT: digest.encode()})


def with_content(entry: TarEntry, size: int) -> bytes:
    """Return the blocks of a file for `size` bytes of content, which follow."""
    extended = {name: value for name, value in entry.extended.items() if name != CONTENT}
    return blocks(entry.header, {**extended, "size": b"%d" % size})


def _record(name: str, value: bytes) -> bytes:
    rest = b" " + name.encode() + b"=" + value + b"\n"
    length = len(rest) + 1
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d" % length + rest
