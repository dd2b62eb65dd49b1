"""HTTP/2 between a program inside and a host whose TLS ends here, stream by stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import h2.errors
import h2.events
import h2.exceptions

from agent_kernel.egress.tls.heads import Heads, HttpRefused, RequestBody, ResponseBody, page
from agent_kernel.egress.tls.peer import Broken, Http2Peer
from agent_kernel.egress.tls.secrets import Headers

Event = Any
Codes = h2.errors.ErrorCodes


@dataclass(frozen=True)
class _Reset:
    """A response ends early."""

    code: int


class _Stream:
    """One request and its response. `up` and `down` are what came in and has not been passed on."""

    def __init__(self, inside: int, outside: int, body: RequestBody) -> None:
        self.inside = inside
        self.outside = outside
        self.request = body
        self.response: ResponseBody | None = None
        self.answered = False
        self.complete = False
        """Whether all of the response is here, or known to be missing. It may have to be passed on still."""
        self.deaf = False
        """Whether the server takes no more of the request."""
        self.up: asyncio.Queue[Event] = asyncio.Queue()
        self.down: asyncio.Queue[Event] = asyncio.Queue()
        self.sending: asyncio.Task[None] | None = None
        self.answering: asyncio.Task[None] | None = None

    def end(self, event: Event) -> None:
        """Take the event that ends the response; one that comes later does not count."""
        if not self.complete:
            self.complete = True
            self.down.put_nowait(event)


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
        self._lost: OSError | None = None

    async def run(self) -> None:
        """Carry until either end closes. Raises `HttpRefused`, and `OSError` if either end fails.

        What the server has answered before its end reaches the program, however slowly that reads.
        """
        try:
            writing = self._begin(self._inside.writing())
            for work in (self._write_outside, self._read_inside, self._read_outside):
                self._begin(work())
            await asyncio.wait([self._failure])
            await self._stop(but=writing)
            await self._inside.written()
            self._failure.result()
        finally:
            await self._stop()
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

    async def _stop(self, but: asyncio.Task[None] | None = None) -> None:
        tasks = [task for task in self._tasks if task is not but]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _write_outside(self) -> None:
        with contextlib.suppress(ConnectionError):  # reading reports it, after what the server had sent
            await self._outside.writing()

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
        elif isinstance(event, h2.events.DataReceived) and (stream is None or stream.deaf):
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
                stream.sending = self._begin(self._send_up(stream))
            stream.answering = self._begin(self._send_down(stream))

    def _has_room(self) -> bool:
        most = self._outside.http.remote_settings.max_concurrent_streams
        return self._outside.http.open_outbound_streams < most

    def _checked(self, headers: Sequence[tuple[bytes, bytes]]) -> Headers:
        pseudo = {name: value for name, value in headers if name.startswith(b":")}
        others = [(name, value) for name, value in headers if not name.startswith(b":")]
        if b":protocol" in pseudo:
            raise self._heads.no_upgrade()
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
        try:
            while (events := await self._outside.receive()) is not None:
                for event in events:
                    self._on_outside(event)
                if self._outside.leaving:
                    self._cut(self._outside.last, Codes.REFUSED_STREAM)  # the program may try again
                    self._leave()
        except OSError as error:
            self._lost = error
        if any(not stream.complete for stream in self._streams.values()):
            self._lost = self._lost or Broken()
        self._outside.leaving = True
        self._cut(0, Codes.INTERNAL_ERROR)
        self._leave()

    def _on_outside(self, event: Event) -> None:
        stream = self._by_outside.get(getattr(event, "stream_id", None) or 0)
        if isinstance(event, h2.events.DataReceived) and stream is None:
            self._outside.taken(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamReset) and stream is not None:
            self._refuse_more(stream)  # a server that has answered may reset the rest of the request
            stream.end(_Reset(_code(event)))
        elif isinstance(event, _ENDS) and stream is not None:
            stream.end(event)
        elif stream is not None:
            _put(stream.down, event)

    def _cut(self, after: int, code: int) -> None:
        """End the streams after `after`: what is missing of their responses cannot come any more."""
        for stream in [each for each in self._streams.values() if each.outside > after]:
            self._refuse_more(stream)
            stream.end(_Reset(code))

    def _refuse_more(self, stream: _Stream) -> None:
        """Send no more of a request to the server."""
        stream.deaf = True
        if stream.sending is not None:
            stream.sending.cancel()
        _give_back(self._inside, stream.inside, stream.up)

    def _leave(self) -> None:
        """Let the program open no more streams here: the server accepts none."""
        if self._outside.leaving and not self._left:
            self._left = True
            self._inside.go_away(self._newest)
        self._finish_when_empty()

    def _finish_when_empty(self) -> None:
        if not self._left or self._streams:
            return
        if self._lost is None:
            self._finish()
        elif not self._failure.done():
            self._failure.set_exception(self._lost)

    def _drop(self, stream: _Stream) -> None:
        """Forget a stream that has ended, and let both ends send as much as it has not used up."""
        for task in (stream.sending, stream.answering):
            if task is not None and task is not asyncio.current_task():
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
            while not isinstance(event := await stream.down.get(), (_Reset, *_ENDS)):
                await self._pass_down(stream, event)
            if isinstance(event, _Reset):
                self._inside.reset(stream.inside, event.code)
            else:
                await self._end_down(stream, event)
        sending = stream.sending
        if sending is not None and (not sending.done() or sending.cancelled()):
            self._outside.reset(stream.outside, Codes.NO_ERROR)  # the server wants no more of the body
            self._inside.reset(stream.inside, Codes.NO_ERROR)
        self._drop(stream)

    async def _end_down(self, stream: _Stream, event: Event) -> None:
        if stream.response is not None and (rest := stream.response.end()):
            await self._inside.send_data(stream.inside, rest)
        if isinstance(event, h2.events.TrailersReceived):
            self._inside.headers(stream.inside, self._heads.masked(event.headers), end=True)
        else:
            self._inside.http.end_stream(stream.inside)
            self._inside.send()

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
