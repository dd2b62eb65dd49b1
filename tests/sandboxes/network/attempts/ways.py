"""How attempts connect, and where they are registered: their functions by the names in docs/network.md."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

PROXY = ("127.0.0.1", 3128)
PUBLIC, PUBLIC_IPV6 = "1.1.1.1", "2606:4700::1111"
FACTS: dict[str, Any] = {}
ATTEMPTS: dict[str, Callable[[], str]] = {}

WORDS = {
    **dict.fromkeys((errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL), "unreachable"),
    **dict.fromkeys((errno.ECONNRESET, errno.EPIPE), "reset"),
    **dict.fromkeys((errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT), "not permitted"),
    **dict.fromkeys((errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT, errno.ENOTTY), "not permitted"),
    errno.ECONNREFUSED: "refused inside",
    errno.EADDRINUSE: "in use",
}
"""Errors that differ between kernels and mean the same."""


def attempt(name: str) -> Callable[[Callable[[], str]], Callable[[], str]]:
    def add(function: Callable[[], str]) -> Callable[[], str]:
        ATTEMPTS[name] = function
        return function

    return add


def outcome(function: Callable[[], str]) -> str:
    try:
        return function()
    except TimeoutError:
        return "no answer"
    except OSError as error:
        return WORDS.get(error.errno or 0, str(error))


def each(*functions: Callable[[], str]) -> str:
    return "; ".join(map(outcome, functions))


def read_all(connected: socket.socket) -> str:
    """Return the first line of what comes until the end, or what it means."""
    got = b"".join(iter(lambda: connected.recv(1 << 16), b""))
    if got == bytes.fromhex("15030300020231"):
        return "TLS alert: access denied"
    return got.split(b"\r\n")[0].decode("latin-1") or "closed"


def connect(address: tuple[str, int], kind: int = socket.SOCK_STREAM) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    connected = socket.socket(family, kind)
    connected.settimeout(10)
    connected.connect(address)
    return connected


def say(host: str, port: int, sent: bytes) -> str:
    """Connect to a name or an address without the proxy, and return the answer."""
    with connect((host, port)) as connected:
        connected.sendall(sent)
        return read_all(connected)


def tunnel(authority: bytes, sent: bytes = b"") -> str:
    """CONNECT through the proxy. Return its refusal, or the answer to what is sent once it is connected."""
    with connect(PROXY) as connected:
        connected.sendall(b"CONNECT " + authority + b" HTTP/1.1\r\n\r\n")
        head = b""
        while b"\r\n\r\n" not in head:
            if not (piece := connected.recv(1)):
                return "closed"
            head += piece
        if b" 200 " not in head:
            return head.split(b"\r\n")[0].decode("latin-1")
        connected.sendall(sent)
        return read_all(connected)


def socks(host: bytes, port: int = 443, *, kind: int = 3, command: int = 1) -> str:
    """Ask the proxy by SOCKS5 for a host: its text (kind 3), or the bytes of an address (1, 4)."""
    size = bytes([len(host)]) if kind == 3 else b""
    with connect(PROXY) as connected:
        connected.sendall(
            b"\x05\x01\x00\x05" + bytes([command, 0, kind]) + size + host + struct.pack("!H", port)
        )
        got = b""
        while len(got) < 4 and (piece := connected.recv(4 - len(got))):
            got += piece
        return f"SOCKS refusal {got[3]}" if got[3:4] != b"\0" else "connected"


def get(host: str, *, path: str = "/", more: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n".encode()


def tunnels(hosts: Iterable[str]) -> str:
    return each(*(partial(tunnel, f"{host}:443".encode()) for host in hosts))


def hello(kind: str) -> bytes:
    return bytes.fromhex(FACTS["hellos"][kind])
