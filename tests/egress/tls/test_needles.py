"""Byte strings that are found however a stream is cut, and nothing is held back without need."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from agent_kernel.egress.tls.needles import Needles, NeedleStream
from agent_kernel.egress.tls.secrets import DomainSecret, HostSecrets

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


@given(st.text("abcd", max_size=40).map(str.encode))
def test_longest_needle_counts(data: bytes) -> None:
    expected = re.sub(b"ababcd|abab|secret", lambda found: NEEDLES[found[0]], data)
    assert needles().replace(data) == expected


def test_many_long_secrets_are_found() -> None:
    """Patterns of whole secrets would take minutes here."""
    secrets = [
        DomainSecret("api.example.org", f"N{at}", f"secret_{at:032}", f"{at:04}" * 2048) for at in range(32)
    ]
    host = HostSecrets("api.example.org", secrets, ())
    stream = NeedleStream(host.hidden, host.hidden.replace)
    body = f"{secrets[31].value}{'x' * 50_000}".encode()
    passed = b"".join(stream.feed(body) for _ in range(32)) + stream.end()
    assert passed == f"{secrets[31].placeholder}{'x' * 50_000}".encode() * 32


def test_needles_are_not_shown() -> None:
    assert "secret" not in repr(needles())
