"""Screenshots of a desktop, small enough for a notebook. Pure.

A picture comes from a sandbox, so it is read by the few lines here and by no library of pictures: only the
form that desktops send (8 bits of red, green and blue, unfiltered rows), within bounds.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from dataclasses import dataclass

PREFIX = "data:image/png;base64,"
WIDEST = 480
"""Pixels of a picture's width in the notebook, at most."""
MAX_BYTES, MOST_PIXELS = 24 << 20, 3840 * 2160
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEAD = struct.Struct(">IIBBBBB")
_RGB = (8, 2, 0, 0, 0)


@dataclass(frozen=True)
class Picture:
    """Rows of red, green and blue, `3 * width` bytes each."""

    width: int
    height: int
    rows: tuple[bytes, ...]


def small(url: object) -> bytes | None:
    """Return the PNG file of a screenshot made small; None if there is none that can be shown."""
    picture = read(url)
    return None if picture is None else png(shrunk(picture))


def small_url(url: object) -> str | None:
    """Return `small` as a data URL."""
    data = small(url)
    return None if data is None else PREFIX + base64.b64encode(data).decode("ascii")


def read(url: object) -> Picture | None:
    """Read a screenshot's data URL; None if it has another form."""
    if not isinstance(url, str) or not url.startswith(PREFIX) or len(url) > MAX_BYTES * 4 // 3:
        return None
    try:
        data = base64.b64decode(url[len(PREFIX) :], validate=True)
        return _read(data)
    except (binascii.Error, ValueError, struct.error, zlib.error):
        return None


def _read(data: bytes) -> Picture | None:
    if not data.startswith(_SIGNATURE):
        return None
    place, head, packed = len(_SIGNATURE), b"", bytearray()
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        chunk = data[place + 8 : place + 8 + length]
        head = chunk if kind == b"IHDR" else head
        packed += chunk if kind == b"IDAT" else b""
        place += 12 + length
    width, height, *form = _HEAD.unpack(head)
    if tuple(form) != _RGB or not width or not height or width * height > MOST_PIXELS:
        return None
    step = 1 + 3 * width
    pixels = zlib.decompressobj().decompress(bytes(packed), step * height)
    if len(pixels) != step * height or any(pixels[::step]):
        return None
    return Picture(width, height, tuple(pixels[n + 1 : n + step] for n in range(0, len(pixels), step)))


def shrunk(picture: Picture, widest: int = WIDEST) -> Picture:
    """Return a picture of at most `widest` pixels: of each square of pixels its mean, by sampling four."""
    by = -(-picture.width // widest)
    if by == 1:
        return picture
    width, height = picture.width // by, picture.height // by
    rows = []
    for y in range(height):
        near = (picture.rows[y * by], picture.rows[y * by + by // 2])
        samples = [_every(row, start, by, width) for row in near for start in (0, by // 2)]
        rows.append(bytes((a + b + c + d) >> 2 for a, b, c, d in zip(*samples, strict=True)))
    return Picture(width, height, tuple(rows))


def _every(row: bytes, start: int, by: int, count: int) -> bytes:
    """Return every pixel number `by` of a row."""
    found = bytearray(3 * count)
    for colour in range(3):
        found[colour::3] = row[3 * start + colour :: 3 * by][:count]
    return bytes(found)


def marked(picture: Picture, left: int, top: int, right: int, bottom: int) -> Picture:
    """Return a picture with a red frame around a place, in pixels of this picture."""
    left, right = max(0, left), min(picture.width, right)
    top, bottom = max(0, top), min(picture.height, bottom)
    rows = [bytearray(row) for row in picture.rows]
    for y in range(top, bottom):
        edge = y < top + _FRAME or y >= bottom - _FRAME
        spans = [(left, right)] if edge else [(left, left + _FRAME), (right - _FRAME, right)]
        for start, end in spans:
            rows[y][3 * start : 3 * end] = _RED * max(0, end - start)
    return Picture(picture.width, picture.height, tuple(map(bytes, rows)))


_FRAME = 3
_RED = b"\xdb\x20\x20"


def png(picture: Picture) -> bytes:
    """Return a picture as a PNG file."""
    head = _HEAD.pack(picture.width, picture.height, *_RGB)
    packed = zlib.compress(b"".join(b"\0" + row for row in picture.rows), 9)
    return _SIGNATURE + _chunk(b"IHDR", head) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
