"""Frames, however they are cut, and garbage at both ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_kernel.errors import ChannelBroken, SandboxError, SandboxGone, SandboxUnreachable
from agent_kernel.sandboxes import connection
from agent_kernel.sandboxes.boxd import wire
from agent_kernel.sandboxes.boxd.commands.log import PIECE_COST, Log
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.egress import EgressStream

frames = st.lists(
    st.tuples(st.sampled_from(sorted(wire.KINDS)), st.integers(0, 2**32 - 1), st.binary(max_size=300))
)


def test_buffers_of_connections_that_wait_take_no_memory() -> None:
    frame = wire.frame(wire.CALL, 1, b"{}")
    before = psutil.Process().memory_info().rss
    decoders = [wire.Decoder() for _ in range(200)]
    for decoder in decoders:
        decoder.space()[: len(frame)] = frame
        assert [bytes(payload) for _, _, payload in decoder.took(len(frame))] == [b"{}"]
    assert psutil.Process().memory_info().rss - before < 200 * wire.BUFFER // 5


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


def test_a_connection_that_waits_holds_no_buffer() -> None:
    """A server has one for each sandbox."""
    decoder = wire.Decoder()
    encoded = wire.frame(wire.DATA, 1, b"one") + wire.frame(wire.DATA, 2, b"two")
    assert len(decoder.feed(encoded)) == 2
    assert len(decoder._buffer) == 0
    assert decoder.feed(encoded[:-1]) == [(wire.DATA, 1, b"one")]
    assert len(decoder._buffer) == wire.BUFFER
    assert decoder.feed(encoded[-1:]) == [(wire.DATA, 2, b"two")]
    assert len(decoder._buffer) == 0


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
    log = Log(limit=10_000)
    for number in range(10_000):
        log.append(wire.STDOUT, b"%04d" % number)
    assert log.read(0, 10) is None
    assert log.read(log.start, 4) is not None
    assert log.read(log.end - 4, 10) == (wire.STDOUT, b"9999")
    assert log.end == 40_000


def test_a_log_keeps_a_megabyte_of_short_lines() -> None:
    log = Log()
    lines = [b"%d\n" % number for number in range(120_000)]
    for line in lines:
        log.append(wire.STDOUT, line)
    assert log.start == 0
    assert b"".join(log.pieces()) == b"".join(lines)


def test_backlog_counts_what_is_not_read() -> None:
    log = Log()
    for _ in range(100):
        log.append(wire.STDOUT, b"1234567\n")
    assert log.backlog(0) == 800 + PIECE_COST
    assert log.backlog(790) == 10 + PIECE_COST
    assert log.backlog(800) == 0


METHODS = ("ping", "run", "stat", "dial")
HELLO = wire.hello(METHODS)


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

    async def write(self, data: bytes | memoryview) -> None:
        if wire.Decoder().feed(data)[0][0] == wire.CALL:
            self._asked.set()

    async def aclose(self) -> None:
        self._asked.set()
        self._closed.set()


REFUSAL = wire.message(wire.ERROR, 0, {"message": "boxd speaks version 9"})


@given(st.binary(max_size=200))
def test_garbage_from_inside_ends_in_one_of_our_errors(garbage: bytes) -> None:
    async def attempt() -> None:
        channel = await Channel.open(Played(HELLO, garbage))
        async with asyncio.timeout(60):
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


CALLS = b'{"method": "connect", "name": "a", "port": 1}'


def call(number: int) -> bytes:
    return wire.frame(wire.CALL, number, CALLS)


@pytest.mark.parametrize(
    "hostile",
    [
        call(3),  # the host's number
        call(2) + call(2),  # in use
        call(4) + call(2),  # numbers grow
        wire.frame(wire.CALL, 2, b'{"method": "run", "command": "id"}'),  # not served
        wire.frame(wire.CALL, 2, b'{"method": ["connect"]}'),
        wire.frame(wire.CALL, 2, b"{}"),
        wire.frame(wire.CALL, 2, b'{"method": "connect"' + b" " * wire.MAX_CALL + b"}"),
        b"".join(map(call, range(2, 2 * wire.MAX_OPENED + 4, 2))),  # too many
        wire.frame(wire.CANCEL, 2),  # not open
        wire.frame(wire.EOF, 2),
        wire.frame(wire.RESULT, 99, b"{}"),
        call(2) + wire.frame(wire.RESULT, 2, b"{}"),  # the host answers
        call(2) + wire.frame(wire.EOF, 2) * 2,
        call(2) + wire.frame(wire.EOF, 2) + wire.data(2, wire.CONTENT, b"x"),
        call(2) + wire.data(2, wire.CONTENT, b"") * (wire.WINDOW // wire.FRAME_COST + 1),
        call(2) + wire.frame(wire.CREDIT, 2, b"x"),
        wire.frame(wire.CANCEL, 1),  # only the caller cancels
        wire.frame(wire.CALL, 1, b"{}"),
        wire.data(1, wire.STDOUT, b"") * (wire.WINDOW // wire.FRAME_COST + 1),
        wire.frame(wire.EOF, 1) * 2,
        wire.frame(wire.RESULT, 1, b"{}") * 2,
        HELLO,  # again
        wire.frame(wire.CREDIT, 0, bytes(4)),
    ],
)
async def test_hostile_frames_end_in_one_of_our_errors(hostile: bytes) -> None:
    waiting = Waiting()
    channel = await Channel.open(Played(HELLO, hostile, ends=False), waiting)
    async with asyncio.timeout(60):
        with pytest.raises(SandboxError):
            async for _ in channel.run("true"):
                pass
        await channel.closed.wait()
    assert isinstance(channel.failure, ChannelBroken)
    await channel.aclose()
    assert waiting.open == 0


class Waiting:
    """An egress that holds every connection open."""

    def __init__(self) -> None:
        self.open = 0
        self.most = 0

    async def connect(self, name: str, port: int, stream: EgressStream) -> None:
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            await asyncio.Event().wait()
        finally:
            self.open -= 1


@pytest.mark.parametrize(
    "greeting",
    [
        wire.message(wire.HELLO, 0, {"version": wire.VERSION}),
        wire.message(wire.HELLO, 0, {"version": wire.VERSION, "methods": "run"}),
        wire.message(wire.HELLO, 0, {"version": wire.VERSION, "methods": [1]}),
        wire.message(wire.HELLO, 0, {"version": wire.VERSION, "methods": ["x" * 41]}),
        wire.message(wire.HELLO, 0, {"version": wire.VERSION, "methods": ["x"] * 65}),
        wire.message(wire.HELLO, 0, {"version": True, "methods": []}),
        wire.message(wire.HELLO, 0, {"version": "2", "methods": []}),
        wire.message(wire.HELLO, 0, {"methods": []}),
        wire.frame(wire.HELLO, 0, b"[]"),
        wire.hello([])[:5] + b"\0\0\0\1" + wire.hello([])[9:],  # on another channel
        call(2),
        wire.frame(wire.RESULT, 1, b"{}"),
    ],
)
async def test_an_improper_greeting_is_refused(greeting: bytes) -> None:
    with pytest.raises(ChannelBroken):
        await Channel.open(Greets(greeting))


class Greets(Played):
    """A peer that says one thing at once."""

    async def read(self, limit: int) -> bytes:
        return self._received.pop(0) if self._received else b""


async def test_a_method_that_is_not_listed_is_not_called() -> None:
    channel = await Channel.open(Played(HELLO, ends=False))
    with pytest.raises(ChannelBroken, match="does not serve 'reset'"):
        await channel.reset()
    assert not channel.closed.is_set()
    await channel.aclose()


class Deaf:
    """A peer that opens channels and reads nothing: what is written to it waits for ever."""

    def __init__(self) -> None:
        self.asked = 0
        self._closed = asyncio.Event()
        self._written = 0

    async def read(self, limit: int) -> bytes:
        await asyncio.sleep(0)
        if self._closed.is_set():
            return b""
        if not self.asked:
            self.asked = 1
            return HELLO
        self.asked += 1
        return call(2 * self.asked)

    async def write(self, data: bytes | memoryview) -> None:
        self._written += 1
        if self._written > 1:
            await self._closed.wait()
            raise SandboxUnreachable("closed")

    async def aclose(self) -> None:
        self._closed.set()


async def test_answers_that_are_not_read_do_not_pile_up() -> None:
    peer = Deaf()
    channel = await Channel.open(peer)  # every connection is denied, and no answer gets through
    async with asyncio.timeout(60):
        await channel.closed.wait()
    assert isinstance(channel.failure, ChannelBroken)
    assert peer.asked <= 2 * wire.MAX_OPENED + 3
    await channel.aclose()


async def test_credit_is_counted_for_frames_and_bytes() -> None:
    credit = wire.Credit()
    assert credit.room == wire.WINDOW - wire.FRAME_COST
    credit.sent(credit.room)
    assert credit.room == 0
    credit.allowed(wire.FRAME_COST + wire.LEAST_ROOM - 1)
    assert credit.room == 0
    credit.allowed(1)
    assert credit.room == wire.LEAST_ROOM
    for _ in range(wire.WINDOW // (wire.FRAME_COST + 1)):
        credit.received(1)
    with pytest.raises(wire.WireError, match="credit"):
        credit.received(1)
    assert credit.taken(wire.WINDOW // 2 - 1) == 0
    assert credit.taken(1) == wire.WINDOW // 2


async def test_a_connection_that_is_cancelled_at_once_is_answered() -> None:
    """The call and its cancellation arrive together, before the egress has begun."""
    sent: list[tuple[int, int, bytes]] = []
    answered = asyncio.Event()

    class Recorded(Played):
        async def write(self, data: bytes | memoryview) -> None:
            await super().write(data)
            sent.extend(wire.Decoder().feed(data))
            if sent[-1][0] == wire.ERROR:
                answered.set()

    waiting = Waiting()
    peer = Recorded(HELLO, call(2) + wire.frame(wire.CANCEL, 2), ends=False)
    channel = await Channel.open(peer, waiting)
    events = channel.run("true")
    running = asyncio.ensure_future(anext(events))
    async with asyncio.timeout(60):
        await answered.wait()
    assert (sent[-1][:2], waiting.open, waiting.most) == ((wire.ERROR, 2), 0, 1)
    await channel.aclose()
    with pytest.raises(SandboxGone):
        await running


async def test_a_call_cancelled_twice_leaves_the_channel_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second cancellation does not lose boxd's confirmation, so the channel is not given up."""
    monkeypatch.setattr(connection, "CANCEL_TIMEOUT", 0.2)
    asked, confirm = asyncio.Event(), asyncio.Event()

    class Slow(Played):
        async def read(self, limit: int) -> bytes:
            if self._received:
                return self._received.pop(0)
            await confirm.wait()
            confirm.clear()
            return wire.message(wire.ERROR, 1, {"code": "cancelled", "message": "cancelled"})

        async def write(self, data: bytes | memoryview) -> None:
            if wire.Decoder().feed(data)[0][0] == wire.CANCEL:
                asked.set()

    channel = await Channel.open(Slow(HELLO))
    running = asyncio.create_task(_drain(channel.run("sleep 1000")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    await asked.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    confirm.set()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await channel.closed.wait()
    await channel.aclose()


async def test_a_stream_that_ends_is_no_exit() -> None:
    channel = await Channel.open(Played(HELLO, wire.data(1, wire.STDOUT, b"half")))
    with pytest.raises(SandboxGone):
        async for _ in channel.run("true"):
            pass


async def _drain(events: AsyncIterator[object]) -> None:
    async for _ in events:
        pass
