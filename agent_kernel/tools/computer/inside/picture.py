"""Pictures of the screen as PNG files."""

from __future__ import annotations

import struct
import zlib

LARGEST = 1_000_000
"""Bytes of a picture for a model, where colours can be given up for it."""
_BITS = (8, 5, 4, 3, 2, 1)
_FAST, _SMALL = 3, 6
"""Levels of compression. The second takes twice as long, and a screen of text is half as large."""


def small(width: int, height: int, pixels: bytes, largest: int = LARGEST) -> bytes:
    """Return a PNG file for a model: exact if it is not too large, as it is without photographs.

    Else the colours are rounded, by as much as it takes. The size in pixels stays: places count by it.
    """
    for bits in _BITS:
        rounded = pixels if bits == 8 else pixels.translate(_steps(bits))
        file = png(width, height, rounded, _SMALL)
        if len(file) <= largest:
            break
    return file


def png(width: int, height: int, pixels: bytes, level: int = _FAST) -> bytes:
    """Return a PNG file of rows of blue, green, red and an unused byte."""
    rgb = bytearray(3 * width * height)
    rgb[0::3], rgb[1::3], rgb[2::3] = pixels[2::4], pixels[1::4], pixels[0::4]
    step = 3 * width
    rows = b"".join(b"\0" + rgb[start : start + step] for start in range(0, len(rgb), step))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = _chunk(b"IDAT", zlib.compress(rows, level))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + data + _chunk(b"IEND", b"")


def halved(width: int, height: int, pixels: bytes) -> tuple[int, int, bytes]:
    """Return every other pixel of every other row, with the new width and height."""
    words = memoryview(pixels).cast("I")
    rows = [words[y * width : (y + 1) * width : 2].tobytes() for y in range(0, height, 2)]
    return (width + 1) // 2, len(rows), b"".join(rows)


def _steps(bits: int) -> bytes:
    """Return, for each value of a colour, the nearest of those that so many bits can say."""
    most = (1 << bits) - 1
    return bytes(round(round(each * most / 255) * 255 / most) for each in range(256))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
