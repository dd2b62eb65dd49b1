"""Byte strings that are found however a stream is cut, and nothing is held back without need."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent_kernel.egress.tls.needles import Needles, NeedleStream

NEEDLES = {b"abab": b"1", b"ababcd": b"2", b"secret": b"3"}


def needles() -> Needles:
    made = Needles()
    for needle, replacement in NEEDLES.items():
        made.add(needle, replacement)
    return made


@given(st.lists(st.text("abcdsecrt ", max_size=8).map(str.encode), max_size=12))
def test_cuts_do_not_matter(pieces: list[bytes]) -> None:
    stream = NeedleStream(needles(), needles().replace)
    passed = b"".join(map(stream.feed, pieces)) + stream.end()
    assert passed == needles().replace(b"".join(pieces))


def test_only_the_beginning_of_a_needle_is_held_back() -> None:
    stream = NeedleStream(needles(), needles().replace)
    assert stream.feed(b"data: abc\n") == b"data: abc\n"
    assert stream.feed(b"data: secre") == b"data: "
    assert stream.feed(b"t!") == b"3!"
    assert stream.feed(b"abab") == b""  # a longer needle may come
    assert stream.feed(b"cd") == b"2"
    assert stream.end() == b""


def test_needles_are_not_shown() -> None:
    assert "secret" not in repr(needles())
