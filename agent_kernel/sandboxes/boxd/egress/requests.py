"""What programs say to the proxy, with no I/O: HTTP requests and SOCKS5 messages, read and answered."""

from __future__ import annotations

import functools
import re
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Tuple

    Target = Tuple[str, int]

HEAD_LIMIT = 64 << 10
NAME_LIMIT = 255

_DEFAULT_PORT = 80
_REQUEST = re.compile(rb"([A-Z][A-Z0-9_-]{0,31}) (\S+) HTTP/1\.[01]")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)")
_DROPPED = (b"connection", b"keep-alive", b"host", b"te")
"""Headers that concern this connection only, and `Host`, which follows from the target."""


class BadProxyRequest(Exception):
    """A request that the proxy does not serve; the text says why."""


class Request:
    """An HTTP request to the proxy: its target, and the head for the server.

    After CONNECT there is none. `body` is the number of bytes that follow; None: it is not known.
    """

    def __init__(self, target: Target, head: bytes | None, body: int | None) -> None:
        self.target = target
        self.head = head
        self.body = body


def parse_head(head: bytes) -> Request:
    """Read the head of a request, without its empty line. Raises `BadProxyRequest`."""
    first, *lines = head.split(b"\r\n")
    request = _REQUEST.fullmatch(first)
    if request is None:
        raise BadProxyRequest("this is no HTTP/1.1 request")
    method, wanted = request.groups()
    if method == b"CONNECT":
        return Request(_authority(wanted, None), None, None)
    scheme, separator, rest = wanted.partition(b"://")
    if not separator or scheme.lower() != b"http":
        raise BadProxyRequest("this is a proxy: it serves CONNECT, and http:// addresses")
    end = re.search(rb"[/?#]", rest)
    authority, path = (rest[: end.start()], rest[end.start() :]) if end else (rest, b"")
    authority = authority.rpartition(b"@")[2]
    target = _authority(authority, _DEFAULT_PORT)
    path = path.partition(b"#")[0]
    headers = _headers(lines)
    kept = [(name, value) for name, value in headers if not _is_dropped(name)]
    upgrade = any(name.lower() == b"upgrade" for name, _ in kept)
    rewritten = [
        method + b" " + (path if path.startswith(b"/") else b"/" + path) + b" HTTP/1.1",
        b"Host: " + authority,
        *(name + b": " + value for name, value in kept),
        # The next request may be meant for another server.
        b"Connection: " + (b"Upgrade" if upgrade else b"close"),
    ]
    return Request(target, b"\r\n".join(rewritten) + b"\r\n\r\n", None if upgrade else _length(kept))


@functools.lru_cache(64)
def whole_connect(received: bytes) -> Target | None:
    """Return the target if this is a whole CONNECT request and nothing more, otherwise None.

    It remembers some answers: programs ask for the same again and again.
    """
    if not received.startswith(b"CONNECT ") or received.find(b"\r\n\r\n") != len(received) - 4:
        return None
    try:
        return parse_head(received[:-4]).target
    except BadProxyRequest:
        return None


def _headers(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    headers = []
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None:
            raise BadProxyRequest("a header is malformed")
        headers.append((header[1], header[2]))
    return headers


def _is_dropped(name: bytes) -> bool:
    return name.lower() in _DROPPED or name.lower().startswith(b"proxy-")


def _length(headers: list[tuple[bytes, bytes]]) -> int | None:
    lengths = {value.strip() for name, value in headers if name.lower() == b"content-length"}
    if any(name.lower() == b"transfer-encoding" for name, _ in headers):
        if lengths:
            raise BadProxyRequest("it has both a length and a transfer encoding")
        return None
    if not lengths:
        return 0
    length = lengths.pop()
    if lengths or not re.fullmatch(rb"[0-9]{1,15}", length):
        raise BadProxyRequest("its Content-Length is malformed")
    return int(length)


def _authority(text: bytes, default: int | None) -> Target:
    """Read `host:port`. What the host may be is decided on the host machine."""
    name, colon, port = text.rpartition(b":")
    if not colon or port.endswith(b"]"):
        name, port = text, b""
    if name.startswith(b"[") and name.endswith(b"]"):
        name = name[1:-1]
    number = int(port) if re.fullmatch(rb"[0-9]{1,5}", port) else default if not port else None
    if not 0 < len(name) <= NAME_LIMIT or number is None or not 0 < number < 1 << 16:
        raise BadProxyRequest("it names no host and port")
    return name.decode("latin-1"), number


def page(code: str, text: str) -> bytes:
    """Return an HTTP answer that refuses a request. The reason is also in its first line, which clients show.

    `code` is boxd's or the host's: `denied`, `failed`, `lost`, `many`, or `bad`.
    """
    status = {"denied": 403, "bad": 400, "many": 503}.get(code, 502)
    line = "".join(char if " " <= char <= "~" else "?" for char in text)[:200]
    body = text.encode("utf-8", "replace") + b"\n"
    return (
        "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
        "Connection: close\r\n\r\n" % (status, line, len(body))
    ).encode("ascii") + body


ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"

SOCKS = 5
SOCKS_ACCEPTED = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
SOCKS_NO_METHOD = b"\x05\xff"
SOCKS_GREETED = b"\x05\x00"
_SOCKS_UNSUPPORTED = b"\x05\x07"


def parse_greeting(received: bytes) -> int:
    """Return the length of a SOCKS5 greeting, or 0 if it is not complete. Raises `BadProxyRequest`."""
    if len(received) < 2 or len(received) < 2 + received[1]:
        return 0
    if 0 not in received[2 : 2 + received[1]]:
        raise BadProxyRequest("the proxy takes no password")
    return 2 + received[1]


def parse_socks(received: bytes) -> tuple[Target, int] | None:
    """Return the target of a SOCKS5 request and its length, or None if it is not complete.

    Raises `BadProxyRequest`.
    """
    if len(received) < 5:
        return None
    version, command, _, kind, first = received[:5]
    if version != SOCKS or command != 1:
        raise BadProxyRequest("the proxy makes TCP connections only")
    size = {1: 4, 3: 1 + first, 4: 16}.get(kind)
    if size is None:
        raise BadProxyRequest("the proxy does not know this kind of address")
    if len(received) < 4 + size + 2:
        return None
    raw, (port,) = received[4 : 4 + size], struct.unpack_from("!H", received, 4 + size)
    if kind == 3:
        name = raw[1:].decode("latin-1")
    else:
        name = socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, raw)
    if not name or not port:
        raise BadProxyRequest("it names no host and port")
    return (name, port), 4 + size + 2


def socks_refusal(code: str, text: str) -> bytes:
    """Return the SOCKS5 answer to a connection that is refused, or that failed."""
    return b"\x05" + {"denied": b"\x02", "bad": b"\x07"}.get(code, b"\x01") + SOCKS_ACCEPTED[2:]
