"""Check the requests of a plain HTTP/1.1 connection: each must be for the allowed host, by an allowed method.

Requests are written anew from what h11 has read, so that no server can read them in a different way.
Responses pass untouched.
"""

from __future__ import annotations

import h11

from agent_kernel.egress.names import UnusableName, canonical, literal, shown
from agent_kernel.egress.policy import NetworkRule

MAX_HEAD = 64 << 10
"""Bytes of a request's head."""

_DROPPED = frozenset({b"upgrade", b"http2-settings"})


class BadRequest(ValueError):
    """The request is refused; the argument says why, as a phrase that is safe to show."""


class RequestReader:
    """Reads requests for one host and port, and returns them as they may be forwarded.

    A read-only `rule` limits their methods.
    """

    def __init__(self, name: str, port: int, rule: NetworkRule | None = None) -> None:
        self._name = name
        self._port = port
        self._rule = rule
        self._connection = self._new()
        self._chunked = False
        self._last = False

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the client, in pieces of any size. Raises `BadRequest`.

        Bytes after a request that closes the connection are dropped, as a server would.
        """
        if self._last:
            return b""
        forward = bytearray()
        try:
            self._connection.receive_data(data)
            while self._one(forward):
                pass
        except h11.RemoteProtocolError:
            raise BadRequest("its HTTP request is malformed") from None
        return bytes(forward)

    @staticmethod
    def _new() -> h11.Connection:
        return h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)

    def _one(self, forward: bytearray) -> bool:
        """Handle the next part of a request. Returns False if more bytes are needed."""
        event = self._connection.next_event()
        if isinstance(event, h11.Request):
            forward += self._head(event)
        elif isinstance(event, h11.Data) and event.data:  # an empty chunk would end the body
            size = b"%x\r\n" % len(event.data) if self._chunked else b""
            forward += size + event.data + (b"\r\n" if self._chunked else b"")
        elif isinstance(event, h11.EndOfMessage):
            forward += b"0\r\n\r\n" if self._chunked else b""  # trailers are dropped
            self._next_request()
            return not self._last
        return isinstance(event, h11.Request | h11.Data)

    def _next_request(self) -> None:
        """Let h11 expect another request, as if this one were answered."""
        self._connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
        self._connection.send(h11.EndOfMessage())
        if self._connection.our_state is h11.DONE:
            self._connection.start_next_cycle()
        else:
            self._last = True

    def _head(self, request: h11.Request) -> bytes:
        """Check a request, and write its head."""
        headers = request.headers.raw_items()
        hosts = [value for name, value in headers if name.lower() == b"host"]
        if request.http_version not in (b"1.0", b"1.1"):
            raise BadRequest("its HTTP request is not HTTP/1.1")
        if self._rule is not None and (why := self._rule.forbids(request.method)) is not None:
            raise BadRequest(why)
        if request.method == b"CONNECT":
            raise BadRequest("CONNECT is not allowed in a plain HTTP connection")
        if len(hosts) != 1:
            raise BadRequest("its HTTP request has no Host header")
        self._check(hosts[0], "Host header")
        if not request.target.startswith(b"/") and request.target != b"*":
            scheme, separator, rest = request.target.partition(b"://")
            if scheme.lower() != b"http" or not separator:
                raise BadRequest("its HTTP request has a malformed target")
            self._check(rest.partition(b"/")[0].partition(b"?")[0], "request target")
        codings = [value for name, value in headers if name.lower() == b"transfer-encoding"]
        self._chunked = bool(codings)
        if self._chunked and any(name.lower() == b"content-length" for name, _ in headers):
            raise BadRequest("its HTTP request has two lengths")
        return self._written(request, headers)

    @staticmethod
    def _written(request: h11.Request, headers: list[tuple[bytes, bytes]]) -> bytes:
        """Write a head without a change of the protocol: what follows one could not be checked."""
        if any(name.lower() == b"upgrade" and b"websocket" in value.lower() for name, value in headers):
            raise BadRequest("WebSockets over plain HTTP are not served; use wss")
        lines = [request.method + b" " + request.target + b" HTTP/" + request.http_version]
        for name, value in headers:
            if name.lower() == b"connection":
                options = [option.strip() for option in value.split(b",")]
                value = b", ".join(each for each in options if each.lower() not in _DROPPED)
            if name.lower() not in _DROPPED and (value or name.lower() != b"connection"):
                lines.append(name + b": " + value)
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _check(self, authority: bytes, where: str) -> None:
        """Require that `name` or `name:port` is the connection's destination."""
        text = authority.decode("latin-1")
        if text.startswith("["):
            host, _, rest = text[1:].partition("]")
            port = rest.removeprefix(":") if rest.startswith(":") or not rest else "?"
        else:
            host, _, port = text.partition(":")
        try:
            same = (host if literal(host) else canonical(host)) == self._name
        except UnusableName:
            same = False
        if not same or port not in ("", str(self._port)):
            raise BadRequest(f"its {where} names a different host: {shown(text)}")
