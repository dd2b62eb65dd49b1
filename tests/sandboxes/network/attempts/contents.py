"""Attempts by what a connection carries."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request

from .ways import attempt, each, get, hello, say, tunnel


@attempt("a CONNECT name that differs from the TLS server name")
def _() -> str:
    return each(
        lambda: tunnel(b"index.test:443", hello("other.test")),
        lambda: tunnel(b"index.test:8443", hello("other.test")),
        lambda: say(socket.gethostbyname("index.test"), 443, hello("other.test")),
    )


@attempt("TLS without a server name")
def _() -> str:
    return tunnel(b"index.test:443", hello("none"))


@attempt("TLS with an encrypted ClientHello")
def _() -> str:
    return tunnel(b"index.test:443", hello("hidden"))


@attempt("something else than TLS to port 443")
def _() -> str:
    return tunnel(b"index.test:443", get("index.test"))


@attempt("a Host header that differs from the name")
def _() -> str:
    address = socket.gethostbyname("index.test")
    return each(
        lambda: say(address, 80, get("other.test")),
        lambda: tunnel(b"index.test:80", get("other.test")),
        lambda: tunnel(b"index.test:8080", get("other.test")),
    )


@attempt("a Host header that differs in a later request of the connection")
def _() -> str:
    first = get("index.test").replace(b"Connection: close\r\n", b"")
    return say(socket.gethostbyname("index.test"), 80, first + get("other.test"))


@attempt("a request target, or a second Host header, that differs")
def _() -> str:
    address = socket.gethostbyname("index.test")
    return each(
        lambda: say(address, 80, get("index.test", path="http://other.test/")),
        lambda: say(address, 80, get("index.test", more="Host: other.test\r\n")),
    )


@attempt("CONNECT to a web server")
def _() -> str:
    sent = b"CONNECT other.test:443 HTTP/1.1\r\nHost: index.test\r\n\r\n"
    return say(socket.gethostbyname("index.test"), 80, sent)


@attempt("HTTP/2 or WebSockets over plain HTTP")
def _() -> str:
    address = socket.gethostbyname("index.test")
    return each(
        lambda: say(address, 80, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        lambda: say(address, 80, get("index.test", more="Upgrade: websocket\r\n")),
    )


@attempt("a redirect to a forbidden host or address")
def _() -> str:
    def follow(path: str) -> str:
        try:
            return str(urllib.request.urlopen(f"http://index.test/{path}", timeout=10).status)
        except urllib.error.HTTPError as error:
            return str(error)

    return each(lambda: follow("to-other"), lambda: follow("to-metadata"))
