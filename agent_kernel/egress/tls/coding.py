"""Content codings of responses: decoded in pieces of bounded size, however much a few bytes expand to."""

from __future__ import annotations

import importlib.util
import zlib
from collections.abc import Iterator
from functools import cache
from typing import Any, Protocol

PIECE = 64 << 10
"""Bytes that a decoder returns at once. zstd's can return 2 MiB."""

_ZSTD_STEP = 64
"""Bytes that zstd's decoder gets at once: a block has at least 4 and expands to at most 128 KiB."""
_ZSTD_WINDOW = 8 << 20
_ZSTD_BUFFER = 16 << 10
_GZIP = ("gzip", "x-gzip")


class Undecodable(OSError):
    """A body is not in the coding that its header names."""

    def __init__(self) -> None:
        super().__init__(None, "the server's response is not in the coding that it names")


class BodyDecoder(Protocol):
    """Decodes one body."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes; yield what they decode to. Exhaust it before the next call. Raises `Undecodable`."""
        ...

    def end(self) -> None:
        """Raise `Undecodable` if the body is not complete: no more bytes come."""
        ...


@cache
def readable() -> frozenset[str]:
    """Return the codings that can be read here. `br` and `zstd` need a package each."""
    found = {"identity", *_GZIP}
    if importlib.util.find_spec("brotli"):
        found.add("br")
    if importlib.util.find_spec("zstandard"):
        found.add("zstd")
    return frozenset(found)


def decoder(coding: str) -> BodyDecoder | None:
    """Return a decoder for the value of `Content-Encoding`; None if it cannot be read here."""
    name = coding.strip().lower()
    if name in ("", "identity"):
        return Identity()
    if name not in readable():
        return None
    if name in _GZIP:
        return Gzip()
    return Brotli() if name == "br" else Zstandard()


def offered(accept: str) -> str:
    """Return an `Accept-Encoding` with only the codings that can be read here."""
    entries = [entry.strip() for entry in accept.split(",")]
    kept = [entry for entry in entries if entry.partition(";")[0].strip().lower() in readable()]
    return ", ".join(kept) or "identity"


class Identity:
    """A body that is not encoded."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        yield data

    def end(self) -> None:
        pass


class Gzip:
    """gzip, with one member or several."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(31)
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._member.eof:
                self._member = zlib.decompressobj(31)
            self._begun = True
            yield from self._fed(data)
            data = self._member.unused_data

    def _fed(self, data: bytes) -> Iterator[bytes]:
        try:
            while piece := self._member.decompress(data, PIECE):
                yield piece
                if self._member.eof:  # what follows is in `unconsumed_tail` too
                    return
                data = self._member.unconsumed_tail
        except zlib.error:
            raise Undecodable from None

    def end(self) -> None:
        if self._begun and not self._member.eof:
            raise Undecodable


class Brotli:
    """Brotli. Its decoder accepts more input before it has returned its output: it is asked until empty."""

    def __init__(self) -> None:
        import brotli

        self._error: type[Exception] = brotli.error
        self._decoder: Any = brotli.Decompressor()
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            while data or self._begun:
                self._begun = True
                if self._decoder.is_finished():
                    return
                piece = self._decoder.process(data, output_buffer_limit=PIECE)
                data = b""
                if not piece:
                    return
                yield piece
        except self._error:
            raise Undecodable from None

    def end(self) -> None:
        if self._begun and not self._decoder.is_finished():
            raise Undecodable


class Zstandard:
    """Zstandard, one frame or several."""

    def __init__(self) -> None:
        import zstandard

        self._error: type[Exception] = zstandard.ZstdError
        self._decoder: Any = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._frame: Any = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            for at in range(0, len(data), _ZSTD_STEP):
                yield from self._fed(data[at : at + _ZSTD_STEP])
        except self._error:
            raise Undecodable from None

    def _fed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._frame is None or self._frame.eof:
                self._frame = self._decoder.decompressobj(write_size=_ZSTD_BUFFER)
            if piece := self._frame.decompress(data):
                yield piece
            data = self._frame.unused_data if self._frame.eof else b""

    def end(self) -> None:
        if self._frame is not None and not self._frame.eof:
            raise Undecodable
