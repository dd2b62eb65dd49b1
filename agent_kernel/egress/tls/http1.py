"""HTTP/1.1 between a program inside and a host whose TLS ends here, request by request."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import h11

from agent_kernel.egress.tls.heads import MAX_HEAD, Heads, HttpRefused, RequestBody, page
from agent_kernel.egress.tls.secrets import Headers

Read = Callable[[int], Awaitable[bytes]]
Write = Callable[[bytes], Awaitable[None]]

_PIECE = 64 << 10
_FRAMING = frozenset((b"content-length", b"transfer-encoding"))
_NO_BODY = frozenset((204, 304))


class Malformed(OSError):
    """The server's HTTP is malformed, or it ended before its response did."""

    def __init__(self) -> None:
        super().__init__(None, "the server's HTTP response is malformed or incomplete")


class Http1Side:
    """One end of the exchange: HTTP/1.1 messages over bytes."""

    def __init__(self, role: type[h11.CLIENT | h11.SERVER], read: Read, write: Write) -> None:
        self.http = h11.Connection(role, max_incomplete_event_size=MAX_HEAD)
        self._read = read
        self._write = write

    async def next(self) -> Any:
        """Return the next event. Raises `h11.RemoteProtocolError`, and what reading raises."""
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self._read(_PIECE))
        return event

    async def send(self, event: Any) -> None:
        """Send an event."""
        if data := self.http.send(event):
            await self._write(data)


class Http1Exchange:
    """Carries requests in and responses out, one after the other. `gone` returns when the server ends.

    A refused request ends the exchange: the program gets a 403 by `refuse`.
    """

    def __init__(
        self, heads: Heads, inside: Http1Side, outside: Http1Side, gone: Callable[[], Awaitable[None]]
    ) -> None:
        self._heads = heads
        self._inside = inside
        self._outside = outside
        self._gone = gone

    async def run(self) -> None:
        """Carry until either end closes. Raises `HttpRefused`, and `OSError` for the server's failures."""
        try:
            await self._carry()
        except h11.LocalProtocolError:  # its text may quote a header with the secret in place
            raise Malformed from None

    async def _carry(self) -> None:
        while (request := await self._request()) is not None:
            await self._forward(request)
            both = asyncio.create_task(self._send_up()), asyncio.create_task(self._answer(request))
            try:
                done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_EXCEPTION)
                for task in done:
                    task.result()
            finally:
                for task in both:
                    task.cancel()
                await asyncio.gather(*both, return_exceptions=True)
            if not self._again():
                return

    async def refuse(self, reason: str) -> None:
        """Answer the present request with a 403, unless its response has begun."""
        if self._inside.http.our_state not in (h11.SEND_RESPONSE, h11.IDLE):
            return
        text = page(reason)
        headers = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(text))),
            ("Connection", "close"),
        ]
        await self._inside.send(h11.Response(status_code=403, reason=b"Forbidden", headers=headers))
        if self._with_body:
            await self._inside.send(h11.Data(data=text))
            await self._inside.send(h11.EndOfMessage())

    _with_body = True

    async def _request(self) -> h11.Request | None:
        """Return the next request; None if either end closes before."""
        asked = asyncio.ensure_future(self._next_inside())
        gone = asyncio.ensure_future(self._gone())
        try:
            await asyncio.wait((asked, gone), return_when=asyncio.FIRST_COMPLETED)
            return asked.result() if asked.done() else None
        finally:
            for task in (asked, gone):
                task.cancel()
            await asyncio.gather(asked, gone, return_exceptions=True)

    async def _next_inside(self) -> Any:
        try:
            event = await self._inside.next()
        except h11.RemoteProtocolError:
            raise HttpRefused("its HTTP request is malformed") from None
        return None if isinstance(event, h11.ConnectionClosed) else event

    async def _forward(self, request: h11.Request) -> None:
        """Send a request's head on, with the secret in place."""
        headers: Headers = list(request.headers)
        hosts = [value for name, value in headers if name == b"host"]
        self._with_body = request.method != b"HEAD"
        if len(hosts) > 1 or not request.target.startswith((b"/", b"*")):
            raise HttpRefused("its HTTP request names its host in an unusual way")
        others = [(name, value) for name, value in headers if name != b"host"]
        if {name for name, _ in others} >= _FRAMING:
            raise HttpRefused("its HTTP request has two lengths")
        filled = self._heads.request(request.method, request.target, hosts[0] if hosts else None, others)
        made = h11.Request(
            method=request.method, target=request.target, headers=[(b"Host", hosts[0]), *filled]
        )
        await self._outside.send(made)

    async def _send_up(self) -> None:
        with contextlib.suppress(ConnectionError):  # the server takes no more; its answer may be here
            await self._send_body()

    async def _send_body(self) -> None:
        body = RequestBody(self._heads.secrets)
        while isinstance(event := await self._next_inside(), h11.Data):
            if passed := body.feed(event.data):
                await self._outside.send(h11.Data(data=passed))
        if event is None:
            raise HttpRefused("its HTTP request is incomplete")
        if rest := body.end():
            await self._outside.send(h11.Data(data=rest))
        self._heads.trailers(list(event.headers))
        await self._outside.send(h11.EndOfMessage())  # trailers are dropped

    async def _answer(self, request: h11.Request) -> None:
        while isinstance(event := await self._next_outside(), h11.InformationalResponse):
            headers = list(self._heads.masked(list(event.headers)))
            await self._inside.send(h11.InformationalResponse(status_code=event.status_code, headers=headers))
        if not isinstance(event, h11.Response):
            raise Malformed
        answer, body = self._heads.response(list(event.headers))
        if request.method == b"HEAD" or event.status_code in _NO_BODY:
            answer = self._heads.masked(list(event.headers))
        else:
            answer = [(name, value) for name, value in answer if name != b"transfer-encoding"]
        if self._outside.http.our_state is h11.MUST_CLOSE or _closes(event):
            answer = [*answer, (b"Connection", b"close")]
        reason = self._heads.secrets.hidden.replace(event.reason)
        await self._inside.send(
            h11.Response(status_code=event.status_code, reason=reason, headers=list(answer))
        )
        while isinstance(event := await self._next_outside(), h11.Data):
            for piece in body.feed(event.data):
                await self._inside.send(h11.Data(data=piece))
        if not isinstance(event, h11.EndOfMessage):
            raise Malformed
        if rest := body.end():
            await self._inside.send(h11.Data(data=rest))
        await self._inside.send(h11.EndOfMessage())

    async def _next_outside(self) -> Any:
        try:
            return await self._outside.next()
        except h11.RemoteProtocolError:
            raise Malformed from None

    def _again(self) -> bool:
        """Expect another request, if both ends can."""
        ends = self._inside.http, self._outside.http
        if any(end.our_state is not h11.DONE or end.their_state is not h11.DONE for end in ends):
            return False
        for end in ends:
            end.start_next_cycle()
        return True


def _closes(response: h11.Response) -> bool:
    options = b",".join(value for name, value in response.headers if name == b"connection")
    return response.http_version < b"1.1" or b"close" in options.lower()
