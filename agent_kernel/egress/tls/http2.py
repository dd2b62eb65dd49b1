"""HTTP/2 between a program inside and a host with a secret, stream by stream."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import h2.errors
import h2.events
import h2.exceptions

from agent_kernel.egress.tls.heads import Heads, HttpRefused, RequestBody, ResponseBody, page
from agent_kernel.egress.tls.peer import Broken, Http2Peer
from agent_kernel.egress.tls.secrets import Headers

Event = Any
Codes = h2.errors.ErrorCodes


class _Stream:
    """One request and its response. `up` and `down` are what came in and has not been passed on."""

    def __init__(self, inside: int, outside: int, body: RequestBody) -> None:
        self.inside = inside
        self.outside = outside
        self.request = body
        self.response: ResponseBody | None = None
        self.answered = False
        self.up: asyncio.Queue[Event] = asyncio.Queue()
        self.down: asyncio.Queue[Event] = asyncio.Queue()
        self.tasks: list[asyncio.Task[None]] = []


class Http2Exchange:
    """Carries the streams of a program inside to the host and back.

    A refused request ends the exchange: its stream gets a 403 by `refuse`.
    """

    def __init__(self, heads: Heads, inside: Http2Peer, outside: Http2Peer) -> None:
        self._heads = heads
        self._inside = inside
        self._outside = outside
        self._streams: dict[int, _Stream] = {}
        self._by_outside: dict[int, _Stream] = {}
        self._refused: int | None = None
        self._newest = 0
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        self._left = False

    async def run(self) -> None:
        """Carry until either end closes. Raises `HttpRefused`, and `OSError` if either end fails."""
        try:
            for work in (self._inside.writing, self._outside.writing, self._read_inside, self._read_outside):
                self._begin(work())
            await self._failure
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if self._failure.done() and not self._failure.cancelled():
                self._failure.exception()

    async def refuse(self, reason: str) -> None:
        """Answer the refused request with a 403, unless its response has begun. Call it after `run`."""
        stream = self._streams.get(self._refused or 0)
        if self._refused is None or (stream is not None and stream.answered):
            return
        text = page(reason)
        headers = [(b":status", b"403"), (b"content-type", b"text/plain; charset=utf-8")]
        try:
            self._inside.headers(self._refused, headers)
            self._inside.http.send_data(self._refused, text, end_stream=True)
            self._inside.send()
            self._inside.go_away(self._newest)
        except (h2.exceptions.ProtocolError, Broken):
            return
        await self._inside.write_all()

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None or self._failure.done():
            return
        if isinstance(error, h2.exceptions.ProtocolError):
            error = Broken()
        self._failure.set_exception(error)

    def _finish(self) -> None:
        if not self._failure.done():
            self._failure.set_result(None)

    # -- what comes in ------------------------------------------------------------------------------------

    async def _read_inside(self) -> None:
        while (events := await self._inside.receive()) is not None:
            for event in events:
                await self._on_inside(event)
        self._finish()

    async def _on_inside(self, event: Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            await self._open(event)
            return
        if isinstance(event, h2.events.ConnectionTerminated):
            return
        stream = self._streams.get(getattr(event, "stream_id", None) or 0)
        if isinstance(event, h2.events.StreamReset) and stream is not None:
            self._outside.reset(stream.outside, _code(event))
            self._drop(stream)
        elif isinstance(event, h2.events.DataReceived) and stream is None:
            self._inside.taken(event.flow_controlled_length, event.stream_id)
        elif stream is not None:
            _put(stream.up, event)

    async def _open(self, event: h2.events.RequestReceived) -> None:
        """Send a request on, with the secret in place."""
        number = event.stream_id
        self._newest = max(self._newest, number)
        with _refusing(self, number):
            headers = self._checked(event.headers)
            if self._outside.leaving or not self._has_room():
                self._inside.reset(number, Codes.REFUSED_STREAM)  # the program may try again
                self._leave()
                return
            ended = event.stream_ended is not None
            outside = self._outside.http.get_next_available_stream_id()
            stream = _Stream(number, outside, RequestBody(self._heads.secrets))
            self._streams[number] = self._by_outside[outside] = stream
            self._outside.headers(outside, headers, end=ended)
            if not ended:
                stream.tasks.append(self._begin(self._send_up(stream)))
            stream.tasks.append(self._begin(self._send_down(stream)))

    def _has_room(self) -> bool:
        most = self._outside.http.remote_settings.max_concurrent_streams
        return self._outside.http.open_outbound_streams < most

    def _checked(self, headers: Sequence[tuple[bytes, bytes]]) -> Headers:
        pseudo = {name: value for name, value in headers if name.startswith(b":")}
        others = [(name, value) for name, value in headers if not name.startswith(b":")]
        if b":protocol" in pseudo:
            raise HttpRefused("WebSockets and other upgrades are not possible to a host with a secret")
        hosts = [value for name, value in others if name == b"host"]
        authority = pseudo.get(b":authority", hosts[0] if hosts else None)
        if any(host != authority for host in hosts):
            raise HttpRefused("its HTTP request names two hosts")
        target, scheme = pseudo.get(b":path", b""), pseudo.get(b":scheme", b"https")
        if scheme != b"https":
            raise HttpRefused("its HTTP request is not for https")
        plain = [(name, value) for name, value in others if name not in (b"host", b"te")]
        filled = self._heads.request(pseudo.get(b":method", b""), target, authority, plain)
        teams = [(b"te", b"trailers")] if (b"te", b"trailers") in others else []
        own = ((b":method", pseudo[b":method"]), (b":scheme", scheme), (b":authority", authority or b""))
        return [*own, (b":path", target), *filled, *teams]

    async def _read_outside(self) -> None:
        while (events := await self._outside.receive()) is not None:
            for event in events:
                self._on_outside(event)
            if self._outside.leaving:
                self._leave()
        if self._streams:
            raise Broken
        self._finish()

    def _on_outside(self, event: Event) -> None:
        stream = self._by_outside.get(getattr(event, "stream_id", None) or 0)
        if isinstance(event, h2.events.DataReceived) and stream is None:
            self._outside.taken(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamReset) and stream is not None:
            self._inside.reset(stream.inside, _code(event))
            self._drop(stream)
        elif stream is not None:
            _put(stream.down, event)

    def _leave(self) -> None:
        """Let the program open no more streams here: the server accepts none."""
        if self._outside.leaving and not self._left:
            self._left = True
            self._inside.go_away(self._newest)
        self._finish_when_empty()

    def _finish_when_empty(self) -> None:
        if self._left and not self._streams:
            self._finish()

    def _drop(self, stream: _Stream) -> None:
        """Forget a stream that has ended, and let both ends send as much as it has not used up."""
        for task in stream.tasks:
            task.cancel()
        _give_back(self._inside, stream.inside, stream.up)
        _give_back(self._outside, stream.outside, stream.down)
        self._streams.pop(stream.inside, None)
        self._by_outside.pop(stream.outside, None)
        self._finish_when_empty()

    # -- what goes on -------------------------------------------------------------------------------------

    async def _send_up(self, stream: _Stream) -> None:
        with _refusing(self, stream.inside):
            while isinstance(event := await stream.up.get(), h2.events.DataReceived):
                try:
                    await self._outside.send_data(stream.outside, stream.request.feed(event.data))
                finally:
                    self._inside.taken(event.flow_controlled_length, stream.inside)
            await self._outside.send_data(stream.outside, stream.request.end())
            if isinstance(event, h2.events.TrailersReceived):
                self._outside.headers(stream.outside, self._heads.trailers(event.headers), end=True)
            else:
                self._outside.http.end_stream(stream.outside)
                self._outside.send()

    async def _send_down(self, stream: _Stream) -> None:
        with _refusing(self, stream.inside):
            while not isinstance(event := await stream.down.get(), _ENDS):
                await self._pass_down(stream, event)
            if stream.response is not None and (rest := stream.response.end()):
                await self._inside.send_data(stream.inside, rest)
            if isinstance(event, h2.events.TrailersReceived):
                self._inside.headers(stream.inside, self._heads.masked(event.headers), end=True)
            else:
                self._inside.http.end_stream(stream.inside)
                self._inside.send()
        stream.tasks = [task for task in stream.tasks if task is not asyncio.current_task()]
        if any(not task.done() for task in stream.tasks):
            self._outside.reset(stream.outside, Codes.NO_ERROR)  # the server wants no more of the body
            self._inside.reset(stream.inside, Codes.NO_ERROR)
        self._drop(stream)

    async def _pass_down(self, stream: _Stream, event: Event) -> None:
        if isinstance(event, h2.events.DataReceived):
            try:
                for piece in stream.response.feed(event.data) if stream.response else ():
                    await self._inside.send_data(stream.inside, piece)
            finally:
                self._outside.taken(event.flow_controlled_length, stream.outside)
        elif isinstance(event, h2.events.InformationalResponseReceived):
            self._inside.headers(stream.inside, self._heads.masked(event.headers))
        elif isinstance(event, h2.events.ResponseReceived):
            headers, stream.response = self._heads.response(event.headers)
            if event.stream_ended is not None:  # of a HEAD, for instance: its length is the body's
                headers, stream.response = self._heads.masked(event.headers), None
            stream.answered = True
            self._inside.headers(stream.inside, headers)


_ENDS = (h2.events.StreamEnded, h2.events.TrailersReceived)


class _refusing:  # noqa: N801 (a context manager, as in contextlib)
    """Note which stream is refused."""

    def __init__(self, exchange: Http2Exchange, number: int) -> None:
        self._exchange = exchange
        self._number = number

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, HttpRefused) and self._exchange._refused is None:
            self._exchange._refused = self._number


def _put(queue: asyncio.Queue[Event], event: Event) -> None:
    kinds = (
        h2.events.DataReceived,
        h2.events.InformationalResponseReceived,
        h2.events.ResponseReceived,
        *_ENDS,
    )
    if isinstance(event, kinds):
        queue.put_nowait(event)


def _give_back(peer: Http2Peer, number: int, queue: asyncio.Queue[Event]) -> None:
    while not queue.empty():
        event = queue.get_nowait()
        if isinstance(event, h2.events.DataReceived):
            peer.taken(event.flow_controlled_length, number)


def _code(event: h2.events.StreamReset) -> int:
    return int(event.error_code or 0)
