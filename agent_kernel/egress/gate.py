"""Look at what a client sends first, and let through only what is for the allowed host.

Port 443 carries TLS and port 80 HTTP/1.1. On other ports TLS and HTTP are recognised by their first bytes,
and everything else passes untouched. A private service is not searched for HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Protocol

from agent_kernel.egress.hello import BadHello, ClientHello, HelloReader
from agent_kernel.egress.http import BadRequest, RequestReader
from agent_kernel.egress.names import literal, shown
from agent_kernel.egress.policy import NetworkRule

HTTP_PORT, HTTPS_PORT = 80, 443
ACCESS_DENIED = bytes.fromhex("15030300020231")
"""A TLS alert: fatal, access denied."""

_MAX_LINE = 16 << 10
_TLS = b"\x16"
_OLD_HELLO = re.compile(rb"[\x80-\xff].\x01", re.DOTALL)
"""A ClientHello in the form of SSL 2, which has no server name."""
_POSTGRES_TLS = (bytes.fromhex("0000000804d2162f"), bytes.fromhex("0000000804d21630"))
"""PostgreSQL's requests for TLS and GSS encryption: a ClientHello can follow."""
_TEXT = re.compile(rb"[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]{0,64}(?:[ \t].*)?", re.DOTALL)
"""The beginning of a line that may become a request line."""
_REQUEST_LINE = re.compile(
    rb".*[ \t]HTTP/[0-9]|[ \t]*[A-Za-z-]+[ \t]+(?:/|\*(?:[ \t]|$)|https?://)", re.IGNORECASE | re.DOTALL
)
"""A version, or a target as in HTTP/0.9: some servers read headers after that as well."""


class NotForwarded(ValueError):
    """A client's bytes are refused: `reason` is a phrase, `answer` is sent to the client before the end.

    Where that takes more than bytes, `goodbye` tells the client, and returns when it may be left.
    """

    def __init__(
        self, reason: str, answer: bytes = b"", goodbye: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.answer = answer
        self.goodbye = goodbye


class Gate(Protocol):
    """Checks the bytes of a client on their way to the server."""

    def feed(self, data: bytes) -> bytes:
        """Take bytes, and return those that may be forwarded. Raises `NotForwarded`."""
        ...

    def end(self) -> bytes:
        """Return the last bytes that may be forwarded: no more come."""
        ...


def gate_for(rule: NetworkRule, name: str, port: int) -> Gate:
    """Return the gate of a connection to a canonical name that `rule` allows.

    Of a read-only rule it is that of HTTP in clear on every port: nothing else can be read here.
    """
    if rule.read_only:
        return HttpGate(name, port, rule)
    if port == HTTP_PORT:
        return HttpGate(name, port)
    if port == HTTPS_PORT:
        return TlsGate(rule, name)
    return FirstBytesGate(rule, name, port)


class TlsGate:
    """Requires TLS whose ClientHello names the allowed host."""

    def __init__(self, rule: NetworkRule, name: str) -> None:
        self._nameless = rule.private and (literal(name) is not None or "." not in name)
        """Clients send no server name for an address, and some of them none for a name without a dot."""
        self._name = name
        self._reader = HelloReader()
        self.hello: ClientHello | None = None
        """The newest ClientHello, checked."""

    def feed(self, data: bytes) -> bytes:
        if self._reader.done:
            return data
        try:
            for hello in self._reader.feed(data):
                self._check(hello)
        except BadHello as error:
            raise NotForwarded(str(error), ACCESS_DENIED) from None
        return self._reader.take()

    def end(self) -> bytes:
        return b""

    def _check(self, hello: ClientHello) -> None:
        if hello.server_name is None and not self._nameless:
            raise NotForwarded("its TLS ClientHello names no server", ACCESS_DENIED)
        if hello.server_name not in (None, self._name):
            reason = f"its TLS ClientHello names a different server: {shown(hello.server_name or '')}"
            raise NotForwarded(reason, ACCESS_DENIED)
        self.hello = hello


def forbidden(reason: str) -> bytes:
    """Return an HTTP/1.1 response that gives the reason, and closes the connection."""
    text = f"This connection out of the sandbox was refused: {reason}.\n".encode()
    head = "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\n"
    return f"{head}Content-Length: {len(text)}\r\nConnection: close\r\n\r\n".encode() + text


class HttpGate:
    """Requires HTTP/1.1 whose requests are for the allowed host, with methods that `rule` allows."""

    def __init__(self, name: str, port: int, rule: NetworkRule | None = None) -> None:
        self._reader = RequestReader(name, port, rule)
        self._answerable = True

    def feed(self, data: bytes) -> bytes:
        try:
            forward = self._reader.feed(data)
        except BadRequest as error:
            raise NotForwarded(str(error), self._answer(str(error))) from None
        self._answerable = self._answerable and not forward
        return forward

    def end(self) -> bytes:
        return b""

    def _answer(self, reason: str) -> bytes:
        """Return a 403 as text, unless a server's response may be on its way."""
        return forbidden(reason) if self._answerable else b""


class FirstBytesGate:
    """Recognises TLS and HTTP by their first bytes, and hands over to their gates."""

    def __init__(self, rule: NetworkRule, name: str, port: int) -> None:
        self._rule = rule
        self._name = name
        self._port = port
        self._held = b""
        self._gate: Gate | None = None
        self._open = False

    def feed(self, data: bytes) -> bytes:
        if self._gate:
            return self._gate.feed(data)
        if self._open:
            return data
        self._held += data
        if not self._held:
            return b""
        return self._recognise()

    def end(self) -> bytes:
        if self._gate:
            return self._gate.end()
        held, self._held = self._held, b""
        return held  # less than a request line and less than a ClientHello: no server can take it for one

    def _recognise(self) -> bytes:
        held = self._held
        if held[0] == 0:
            if any(request.startswith(held) and held != request for request in _POSTGRES_TLS):
                return b""
            for request in _POSTGRES_TLS:
                if held.startswith(request):
                    self._held = b""
                    return request + self.feed(held[len(request) :])
        if held.startswith(_TLS):
            return self._hand_over(TlsGate(self._rule, self._name))
        if self._rule.private:
            return self._let_pass()
        if held[0] >= 0x80 and len(held) < 3:
            return b""
        if _OLD_HELLO.match(held):
            raise NotForwarded("its TLS ClientHello names no server")
        return self._text()

    def _text(self) -> bytes:
        """Hold text that may become an HTTP request line, until that is known."""
        line, newline, _ = self._held.lstrip(b"\r\n").partition(b"\n")
        line = line.removesuffix(b"\r")
        if not _TEXT.fullmatch(line):
            return self._let_pass()
        if len(line) > _MAX_LINE:
            raise NotForwarded("its first line is too long")
        if not newline:
            return b""
        if _REQUEST_LINE.match(line):
            return self._hand_over(HttpGate(self._name, self._port))
        return self._let_pass()

    def _hand_over(self, gate: Gate) -> bytes:
        held, self._held, self._gate = self._held, b"", gate
        return gate.feed(held)

    def _let_pass(self) -> bytes:
        held, self._held, self._open = self._held, b"", True
        return held
