"""Frames, however they are cut, and garbage at both ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_kernel.errors import ChannelBroken, SandboxError, SandboxGone
from agent_kernel.sandboxes.boxd import wire
from agent_kernel.sandboxes.boxd.log import Log
from agent_kernel.sandboxes.channel import Channel

frames = st.lists(
    st.tuples(st.sampled_from(sorted(wire.KINDS)), st.integers(0, 2**32 - 1), st.binary(max_size=300))
)


@given(frames, st.lists(st.integers(1, 50)))
def test_frames_survive_any_cut(sent: list[tuple[int, int, bytes]], cuts: list[int]) -> None:
    encoded = b"".join(wire.frame(*each) for each in sent)
    decoder = wire.Decoder()
    received = []
    for cut in cuts:
        received += decoder.feed(encoded[:cut])
        encoded = encoded[cut:]
    assert received + decoder.feed(encoded) == sent


def test_a_frame_larger_than_the_buffer_is_received_whole() -> None:
    sent = [(wire.DATA, 1, bytes(range(256)) * 8192), (wire.EOF, 1, b""), (wire.DATA, 2, b"small")]
    assert len(sent[0][2]) > wire.BUFFER
    decoder = wire.Decoder()
    assert decoder.feed(b"".join(wire.frame(*each) for each in sent)) == sent
    assert len(decoder.space()) == wire.BUFFER  # and the memory for it is given back


def test_a_payload_is_a_view_of_what_was_received() -> None:
    decoder = wire.Decoder()
    encoded = wire.data(1, wire.CONTENT, b"content")
    space = decoder.space()
    space[: len(encoded)] = encoded
    ((kind, channel, payload),) = decoder.took(len(encoded))
    assert (kind, channel, payload.tobytes()) == (wire.DATA, 1, b"\0content")
    assert payload.obj is space.obj


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 20, b"\0\0\0\0\x63\0\0\0\0"])
def test_garbage_is_no_frame(garbage: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.Decoder().feed(garbage)


@given(
    st.lists(st.tuples(st.sampled_from([wire.STDOUT, wire.STDERR]), st.binary(min_size=1, max_size=40))),
    st.integers(1, 9),
)
def test_a_log_is_read_as_it_was_written(pieces: list[tuple[int, bytes]], limit: int) -> None:
    log = Log(limit=10_000)
    for piece in pieces:
        log.append(*piece)
    read: dict[int, bytes] = {wire.STDOUT: b"", wire.STDERR: b""}
    offset = 0
    while (found := log.read(offset, limit)) is not None:
        read[found[0]] += found[1]
        offset += len(found[1])
    assert offset == log.end
    for stream, content in read.items():
        assert content == b"".join(payload for which, payload in pieces if which == stream)


def test_a_log_keeps_the_newest() -> None:
    log = Log(limit=1000)
    for number in range(1000):
        log.append(wire.STDOUT, b"%04d" % number)
    assert log.read(0, 10) is None
    assert log.read(log.start, 4) is not None
    assert log.read(log.end - 4, 10) == (wire.STDOUT, b"0999")
    assert log.end == 4000


class Played:
    """A peer that greets, and plays the rest (broken or hostile) once it has been asked for something."""

    def __init__(self, *received: bytes, ends: bool = True) -> None:
        self._received = list(received)
        self._ends = ends
        self._asked = asyncio.Event()
        self._closed = asyncio.Event()

    async def read(self, limit: int) -> bytes:
        if self._received and self._received[0][:9] not in (HELLO[:9], REFUSAL[:9]):
            await self._asked.wait()
        if self._received:
            return self._received.pop(0)
        if not self._ends:
            await self._closed.wait()
        return b""

    async def write(self, data: bytes) -> None:
        if wire.Decoder().feed(data)[0][0] == wire.CALL:
            self._asked.set()

    async def aclose(self) -> None:
        self._asked.set()
        self._closed.set()


HELLO = wire.message(wire.HELLO, 0, {"version": wire.VERSION})
REFUSAL = wire.message(wire.ERROR, 0, {"message": "boxd speaks version 9"})


@given(st.binary(max_size=200))
def test_garbage_from_inside_ends_in_one_of_our_errors(garbage: bytes) -> None:
    async def attempt() -> None:
        channel = await Channel.open(Played(HELLO, garbage))
        async with asyncio.timeout(10):
            async for _ in channel.run("true"):
                pass

    with pytest.raises(SandboxError):
        asyncio.run(attempt())


async def test_a_peer_that_ends_before_it_greets_is_gone() -> None:
    with pytest.raises(SandboxGone):
        await Channel.open(Played())


async def test_another_version_is_refused() -> None:
    with pytest.raises(ChannelBroken, match="version 9"):
        await Channel.open(Played(REFUSAL))


async def test_a_peer_cannot_send_more_than_it_was_given_leave_for() -> None:
    flood = [wire.data(1, wire.STDOUT, bytes(wire.CHUNK))] * (wire.WINDOW // wire.CHUNK + 1)
    channel = await Channel.open(Played(HELLO, *flood, ends=False))
    events = channel.run("true")
    await anext(events)
    await channel.closed.wait()
    with pytest.raises(ChannelBroken, match="credit"):
        await _drain(events)


@pytest.mark.parametrize("answer", [b"nonsense", b"[]", b'{"exit_code": "0"}', b"{}"])
async def test_a_made_up_outcome_is_no_success(answer: bytes) -> None:
    channel = await Channel.open(Played(HELLO, wire.frame(wire.RESULT, 1, answer), ends=False))
    with pytest.raises(SandboxError):
        async for _ in channel.run("true"):
            pass
    await channel.aclose()


async def test_a_stream_that_ends_is_no_exit() -> None:
    channel = await Channel.open(Played(HELLO, wire.data(1, wire.STDOUT, b"half")))
    with pytest.raises(SandboxGone):
        async for _ in channel.run("true"):
            pass


async def _drain(events: AsyncIterator[object]) -> None:
    async for _ in events:
        pass
