"""Codings of responses: decoded in bounded pieces, however much a few bytes expand to."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import brotli
import pytest
import zstandard

from agent_kernel.egress.tls.coding import PIECE, BodyDecoder, Undecodable, decoder, offered

ENCODE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor(level=19).compress,
}
ALL = pytest.mark.parametrize("coding", ENCODE)


def of(coding: str) -> BodyDecoder:
    found = decoder(coding)
    assert found is not None
    return found


@ALL
def test_output_is_bounded(coding: str) -> None:
    bomb = ENCODE[coding](bytes(8 << 20))
    sizes = [len(piece) for piece in of(coding).feed(bomb)]
    assert sum(sizes) == 8 << 20
    assert max(sizes) <= (2 << 20 if coding == "zstd" else 2 * PIECE)


@ALL
@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_body_in_pieces(coding: str, step: int) -> None:
    text = bytes(range(256)) * 300
    encoded = ENCODE[coding](text)
    reader = of(coding)
    decoded = [piece for at in range(0, len(encoded), step) for piece in reader.feed(encoded[at : at + step])]
    reader.end()
    assert b"".join(decoded) == text


@ALL
def test_incomplete_and_damaged_bodies_fail(coding: str) -> None:
    encoded = ENCODE[coding](bytes(range(256)))
    half = of(coding)
    list(half.feed(encoded[:-5]))
    with pytest.raises(Undecodable):
        half.end()
    with pytest.raises(Undecodable):
        list(of(coding).feed(b"no such coding " * 9))
    of(coding).end()  # an empty body


def test_several_members() -> None:
    text = b"".join(of("gzip").feed(gzip.compress(b"a" * 70_000) + gzip.compress(b"b")))
    assert text == b"a" * 70_000 + b"b"
    frame = zstandard.ZstdCompressor().compress
    assert b"".join(of("zstd").feed(frame(b"a") + frame(b"b"))) == b"ab"


@pytest.mark.parametrize(
    ("asked", "sent"),
    [("gzip, deflate", "gzip"), ("*", "identity"), ("GZIP;q=0.5,br", "GZIP;q=0.5, br"), ("", "identity")],
)
def test_only_readable_codings_are_offered(asked: str, sent: str) -> None:
    assert offered(asked) == sent
    assert decoder("compress") is None
    assert decoder("gzip, br") is None
