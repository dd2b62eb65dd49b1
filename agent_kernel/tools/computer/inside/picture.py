"""Pictures of the screen as PNG files."""

from __future__ import annotations

import struct
import zlib

_LEVEL = 3


def png(width: int, height: int, pixels: bytes) -> bytes:
    """Return a PNG file of rows of blue, green, red and an unused byte."""
    rgb = bytearray(3 * width * height)
    rgb[0::3], rgb[1::3], rgb[2::3] = pixels[2::4], pixels[1::4], pixels[0::4]
    step = 3 * width
    rows = b"".join(b"\0" + rgb[start : start + step] for start in range(0, len(rgb), step))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", _packed(rows)) + _chunk(b"IEND", b"")
    )


def halved(width: int, height: int, pixels: bytes) -> tuple[int, int, bytes]:
    """Return every other pixel of every other row, with the new width and height."""
    words = memoryview(pixels).cast("I")
    rows = [words[y * width : (y + 1) * width : 2].tobytes() for y in range(0, height, 2)]
    return (width + 1) // 2, len(rows), b"".join(rows)


def _packed(rows: bytes) -> bytes:
    return zlib.compress(rows, _LEVEL)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
