"""One end of an HTTP/2 exchange: frames over bytes, with flow control and bounded memory."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable, Sequence

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from agent_kernel.egress.tls.heads import MAX_HEAD

Read = Callable[[int], Awaitable[bytes]]
Write = Callable[[bytes], Awaitable[None]]
Settings = h2.settings.SettingCodes

STREAMS = 100
"""Requests that are open at once."""

SETTINGS_SECONDS = 30.0
"""How long a server may take to begin HTTP/2 after its TLS."""

_PIECE = 64 << 10
_WINDOW = 256 << 10
"""Bytes that a stream may have on the way. A connection may have four times as many."""
_QUEUED = 64 << 10
"""Bytes that wait to be written until those who send data wait too."""
_MOST_QUEUED = 4 << 20
"""Bytes that wait to be written until the connection ends: answers to a flood of frames."""
_FRAME_HEAD = 9
_GOAWAY = 7
_MOST_FRAME = 1 << 14
_LOGGERS = ("hpack.hpack", "hpack.table")
"""Loggers of the library that write the values of headers."""
_ANY_STREAM = (1 << 31) - 1
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Broken(OSError):
    """The other end's HTTP/2 is malformed, or it has ended."""

    def __init__(self, text: str = "the HTTP/2 connection was broken") -> None:
        super().__init__(None, text)


def _has_settings(events: list[h2.events.Event] | None) -> bool:
    """Whether the other end's settings came in. Raises `Broken` at the end."""
    if events is None:
        raise Broken
    return any(isinstance(event, h2.events.RemoteSettingsChanged) for event in events)


class Http2Peer:
    """One end. `write` runs in a task of its own (`writing`), so that reading never waits for it.

    GOAWAY never reaches the library, which would end the open streams: `leaving` is set instead.
    """

    def __init__(self, read: Read, write: Write, *, client: bool, streams: int = STREAMS) -> None:
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)
        config = h2.config.H2Configuration(client_side=client, header_encoding=None)
        self.http = h2.connection.H2Connection(config)
        self.leaving = False
        """Whether the other end opens or accepts no more streams."""
        self.last = _ANY_STREAM
        """The last stream that the other end answers."""
        self._read = read
        self._write = write
        self._queued = bytearray()
        self._frames = bytearray()
        self._preface = b"" if client else _PREFACE
        self._writing = True
        self._closed = False
        self._pending = asyncio.Event()
        self._news = asyncio.Event()
        values = {
            Settings.ENABLE_PUSH: 0,
            Settings.MAX_CONCURRENT_STREAMS: streams,
            Settings.INITIAL_WINDOW_SIZE: _WINDOW,
            Settings.MAX_HEADER_LIST_SIZE: MAX_HEAD,
        }
        self.http.local_settings = h2.settings.Settings(client=client, initial_values=values)
        self.http.initiate_connection()
        self.http.increment_flow_control_window(3 * _WINDOW)
        self.send()

    async def most_streams(self) -> int:
        """Return how many streams a server allows at once, at most 100: the first thing that it says.

        Call it before anything else. Raises `Broken`, also if it is not said in time.
        """
        try:
            async with asyncio.timeout(SETTINGS_SECONDS):
                await self.write_all()
                while not _has_settings(await self.receive()):
                    pass
        except TimeoutError:
            raise Broken("the server did not begin HTTP/2 in time") from None
        return max(1, min(STREAMS, self.http.remote_settings.max_concurrent_streams))

    async def receive(self) -> list[h2.events.Event] | None:
        """Return the next events; None at the end. Raises `Broken`."""
        data = await self._read(_PIECE)
        if not data:
            return None
        try:
            events = self.http.receive_data(self._without_goaway(data))
        except (h2.exceptions.ProtocolError, ValueError, IndexError):
            raise Broken from None
        self.send()
        self._tell()
        return events

    def send(self) -> None:
        """Queue what the library has to send. Raises `Broken` if the other end does not read it."""
        self._queued += self.http.data_to_send()
        if len(self._queued) > _MOST_QUEUED:
            raise Broken
        if self._queued:
            self._pending.set()

    async def writing(self) -> None:
        """Write what is queued, for as long as the exchange goes on."""
        try:
            while True:
                self._writing = bool(self._queued)
                if not self._writing:
                    self._tell()
                    self._pending.clear()
                    await self._pending.wait()
                    continue
                data = bytes(self._queued[:_PIECE])
                del self._queued[: len(data)]
                await self._write(data)
                self._tell()
        finally:
            self._closed = True
            self._tell()

    async def written(self) -> None:
        """Wait until everything is written that is queued, or `writing` has ended."""
        while not self._closed and (self._writing or self._queued):
            await self.news()

    async def write_all(self) -> None:
        """Write what is queued, after `writing` has ended."""
        data, self._queued = bytes(self._queued), bytearray()
        await self._write(data)

    async def send_data(self, stream: int, data: bytes) -> None:
        """Send data, waiting for the other end. Raises `Broken`, `h2.exceptions.ProtocolError`."""
        view = memoryview(data)
        while view:
            room = min(self.http.local_flow_control_window(stream), self.http.max_outbound_frame_size)
            if room <= 0 or len(self._queued) > _QUEUED:
                await self.news()
                continue
            piece = view[:room]
            self.http.send_data(stream, bytes(piece))
            view = view[len(piece) :]
            self.send()

    async def news(self) -> None:
        """Wait until frames came in or bytes went out."""
        await self._news.wait()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def go_away(self, last: int) -> None:
        """Say that streams after `last` are not served. The library's own way would end the open ones."""
        body = struct.pack(">II", last, 0)
        self._queued += struct.pack(">I", len(body))[1:] + bytes((_GOAWAY, 0)) + bytes(4) + body
        self.send()

    def reset(self, stream: int, code: int) -> None:
        """End a stream, if it is still open."""
        try:
            self.http.reset_stream(stream, code)
        except h2.exceptions.ProtocolError:
            return
        self.send()

    def taken(self, amount: int, stream: int) -> None:
        """Let the other end send as many bytes again. Its stream may have ended meanwhile."""
        if amount:
            self.http.acknowledge_received_data(amount, stream)
            self.send()

    def headers(self, stream: int, headers: Sequence[tuple[bytes, bytes]], *, end: bool = False) -> None:
        """Send headers or trailers. Raises `h2.exceptions.ProtocolError`."""
        self.http.send_headers(stream, list(headers), end_stream=end)
        self.send()

    def _without_goaway(self, data: bytes) -> bytes:
        """Return the whole frames in `data`, without GOAWAY."""
        self._frames += data
        passed = bytearray()
        if self._preface:
            if not self._preface.startswith(self._frames[: len(self._preface)]):
                raise Broken
            if len(self._frames) < len(self._preface):
                return b""
            passed += self._preface
            del self._frames[: len(self._preface)]
            self._preface = b""
        while len(self._frames) >= _FRAME_HEAD:
            size = _FRAME_HEAD + int.from_bytes(self._frames[:3], "big")
            if size > _FRAME_HEAD + _MOST_FRAME:
                raise Broken
            if len(self._frames) < size:
                break
            if self._frames[3] == _GOAWAY:
                self.leaving = True
                last = int.from_bytes(self._frames[_FRAME_HEAD : _FRAME_HEAD + 4], "big") & _ANY_STREAM
                self.last = min(self.last, last)
            else:
                passed += self._frames[:size]
            del self._frames[:size]
        return bytes(passed)
