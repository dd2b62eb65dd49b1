"""Pictures for models: exact where that is small enough, with fewer colours where it is not."""

from __future__ import annotations

import random
import struct
import zlib

from agent_kernel.tools.computer.inside.picture import Pictures

WIDTH, HEIGHT = 64, 48


def colours(file: bytes) -> list[tuple[int, ...]]:
    """Return the red, green and blue of each pixel of a PNG file, which has the size of the screen."""
    assert struct.unpack_from(">II", file, 16) == (WIDTH, HEIGHT)
    length = struct.unpack_from(">I", file, 33)[0]
    rows = zlib.decompress(file[41 : 41 + length])
    step = 3 * WIDTH + 1
    return [
        tuple(rows[start + 3 * x + 1 : start + 3 * x + 4])
        for start in range(0, len(rows), step)
        for x in range(WIDTH)
    ]


def test_colours_are_kept_where_they_fit_and_rounded_else() -> None:
    noise = random.Random(7).randbytes(4 * WIDTH * HEIGHT)
    exact = [(red, green, blue) for blue, green, red, _ in struct.iter_unpack("4B", noise)]
    pictures = Pictures(WIDTH, HEIGHT)
    assert colours(pictures.small(noise)) == exact
    whole = len(pictures.png(noise))
    for share, off in ((0.7, 5), (0.5, 19)):
        file = pictures.small(noise, largest=int(share * whole))
        assert len(file) <= share * whole
        pairs = zip(colours(file), exact, strict=True)
        assert 0 < max(abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=True)) <= off


def test_picture_of_a_changed_screen_is_that_of_a_new_one() -> None:
    generator = random.Random(8)
    screen = bytearray(4 * WIDTH * HEIGHT)
    pictures = Pictures(WIDTH, HEIGHT)
    for _ in range(20):
        start = 4 * generator.randrange(WIDTH * HEIGHT - 50)
        screen[start : start + 200] = generator.randbytes(200)
        file = pictures.png(bytes(screen))
        assert file == Pictures(WIDTH, HEIGHT).png(bytes(screen))
        shown = [(red, green, blue) for blue, green, red, _ in struct.iter_unpack("4B", screen)]
        assert colours(file) == shown
