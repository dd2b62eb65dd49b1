"""Pictures of the screen as PNG files."""

from __future__ import annotations

import struct
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    class Band(NamedTuple):
        """Some rows: their pixels, and them packed, with the checksum and the length of what was packed."""

        pixels: bytes
        packed: bytes
        sum: int
        length: int
else:
    from collections import namedtuple

    Band = namedtuple("Band", "pixels packed sum length")

LARGEST = 1_000_000
"""Bytes of a picture for a model, where colours can be given up for it."""
_BITS = (8, 5, 4, 3, 2, 1)
_SMALL, _FAST = 6, 3
"""Levels of compression. The first takes twice as long, and a screen of text is half as large."""
_ROWS = 32
_BASE = 65521


class Pictures:
    """Makes PNG files of a screen. Bands of rows that are as in the last one are not packed again."""

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        self._bands: dict[tuple[int, int], Band] = {}

    def small(self, pixels: bytes, largest: int = LARGEST) -> bytes:
        """Return a PNG file for a model: exact if it is not too large, as it is without photographs.

        Else the colours are rounded, by as much as it takes. The size in pixels stays: places count by it.
        """
        for bits in _BITS:
            file = self.png(pixels, bits)
            if len(file) <= largest:
                break
        return file

    def png(self, pixels: bytes, bits: int = 8) -> bytes:
        """Return a PNG file of rows of blue, green, red and an unused byte, with `bits` of each colour."""
        size, packed, total = 4 * self._width * _ROWS, [b"\x78\x5e"], 1
        for start in range(0, len(pixels), size):
            band = self._band((start, bits), pixels[start : start + size])
            packed.append(band.packed)
            total = _joined(total, band)
        data = b"".join([*packed, b"\x03\x00", struct.pack(">I", total)])
        return _file(self._width, self._height, data)

    def _band(self, key: tuple[int, int], pixels: bytes) -> Band:
        kept = self._bands.get(key)
        if kept is None or kept.pixels != pixels:
            rows = _rows(self._width, pixels if key[1] == 8 else pixels.translate(_steps(key[1])))
            packer = zlib.compressobj(_SMALL, wbits=-15)
            packed = packer.compress(rows) + packer.flush(zlib.Z_FULL_FLUSH)
            kept = self._bands[key] = Band(pixels, packed, zlib.adler32(rows), len(rows))
        return kept


def png(width: int, height: int, pixels: bytes) -> bytes:
    """Return a PNG file of rows of blue, green, red and an unused byte, fast rather than small."""
    return _file(width, height, zlib.compress(_rows(width, pixels), _FAST))


def halved(width: int, height: int, pixels: bytes) -> bytes:
    """Return every other pixel of every other row."""
    words = memoryview(pixels).cast("I")
    return b"".join([words[y * width : (y + 1) * width : 2].tobytes() for y in range(0, height, 2)])


def _rows(width: int, pixels: bytes) -> bytes:
    """Return rows of red, green and blue, each after a zero."""
    rgb = bytearray(3 * len(pixels) // 4)
    rgb[0::3], rgb[1::3], rgb[2::3] = pixels[2::4], pixels[1::4], pixels[0::4]
    step = 3 * width
    return b"".join([b"\0" + rgb[start : start + step] for start in range(0, len(rgb), step)])


def _joined(total: int, band: Band) -> int:
    """Return the checksum (Adler-32) of what came before and a band."""
    low = total & 0xFFFF
    high = (total >> 16) + (band.sum >> 16) + band.length * (low - 1)
    return (high % _BASE) << 16 | (low + (band.sum & 0xFFFF) - 1) % _BASE


def _steps(bits: int) -> bytes:
    """Return, for each value of a colour, the nearest of those that so many bits can say."""
    most = (1 << bits) - 1
    return bytes(round(round(each * most / 255) * 255 / most) for each in range(256))


def _file(width: int, height: int, data: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
