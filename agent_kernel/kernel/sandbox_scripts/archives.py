"""Read XML inside zip archives within bounds: no document types, no more bytes than allowed."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING
from xml.etree import ElementTree

from agent_kernel.kernel.sandbox_scripts.summary import Unreadable

if TYPE_CHECKING:
    import zipfile

SMALL, LARGE = 16 << 20, 1 << 30
"""The largest workbook description, and the largest sheet, unpacked, in bytes."""


class Bounded(io.RawIOBase):
    """A file of which at most `limit` bytes are read. Raises `Unreadable` for more, and for a DOCTYPE."""

    def __init__(self, file: IO[bytes], limit: int) -> None:
        self._file, self._left = file, limit
        self._begun = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Close the file below."""
        self._file.close()
        super().close()

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, 64 KiB unless given."""
        data = self._file.read(size if size > 0 else 1 << 16)
        self._left -= len(data)
        if self._left < 0:
            raise Unreadable("it unpacks to too many bytes")
        if not self._begun and b"<!DOCTYPE" in data.replace(b"\0", b"").upper():
            raise Unreadable("its XML has a document type")
        self._begun = True
        return data


def opened(archive: zipfile.ZipFile, member: str, limit: int = LARGE) -> Bounded:
    """Open a member; raises `Unreadable` if there is none."""
    try:
        return Bounded(archive.open(member), limit)
    except (KeyError, NotImplementedError, RuntimeError) as error:
        raise Unreadable("a part of it is absent or encrypted") from error


def parsed(archive: zipfile.ZipFile, member: str) -> ElementTree.Element:
    """Return a small XML document."""
    return ElementTree.parse(opened(archive, member, SMALL)).getroot()


def local(tag: object) -> str:
    """Return a tag without its namespace."""
    return str(tag).rpartition("}")[2]


def attribute(element: ElementTree.Element, name: str) -> str:
    """Return an attribute by its name without namespace; empty if absent."""
    return next((value for key, value in element.items() if local(key) == name), "")
