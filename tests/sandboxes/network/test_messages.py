"""The resolver's messages, the table of names, and the proxy's requests, without a sandbox."""

from __future__ import annotations

import random
import socket
import struct

import pytest

from agent_kernel.sandboxes.boxd.egress import dns, requests
from agent_kernel.sandboxes.boxd.egress.names import NameTable, canonical
from agent_kernel.sandboxes.boxd.egress.network import PortTaken, Sockets

A, AAAA, PTR, MX, HTTPS = 1, 28, 12, 15, 65


def query(name: str, kind: int = A, flags: int = 0x0100, group: int = 1) -> bytes:
    labels = b"".join(bytes((len(each),)) + each.encode("latin-1") for each in name.split("."))
    return struct.pack("!6H", 7, flags, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, group)


def read(answer: bytes | None) -> tuple[int, int, bytes]:
    """Return the answer's code, its number of records, and the end of its data."""
    assert answer is not None
    number, flags, _, records, _, _ = struct.unpack_from("!6H", answer)
    assert number == 7
    assert flags & 0x8080 == 0x8080
    return flags & 15, records, answer[-4:]


def test_every_name_has_an_address_and_no_ipv6() -> None:
    names = NameTable()
    first = read(dns.answer(query("Index.Test"), names))
    assert first == (0, 1, socket.inet_aton("127.64.0.1"))
    assert read(dns.answer(query("index.test"), names)) == first
    for kind in (AAAA, MX, HTTPS):  # an error here would end a lookup of IPv4 in musl
        assert read(dns.answer(query("index.test", kind), names))[:2] == (0, 0)
    assert read(dns.answer(query("index.test", A, group=3), names))[:2] == (0, 0)
    for local in ("localhost", "a.localhost", "sandbox"):
        assert read(dns.answer(query(local), names)) == (0, 1, b"\x7f\0\0\1")
    answer = dns.answer(query("1.0.64.127.in-addr.arpa", PTR), names)
    assert answer is not None
    assert answer.endswith(b"\x05index\x04test\0")
    assert read(dns.answer(query("9.0.64.127.in-addr.arpa", PTR), names))[0] == 3


@pytest.mark.parametrize("name", ["a b", "a\0b", "a\r\nb", "\xe4", "1.0.64.127.ip6.arpa", "a*b"])
def test_what_is_no_host_name_does_not_exist(name: str) -> None:
    names = NameTable()
    assert read(dns.answer(query(name), names))[0] == 3
    assert names.name("127.64.0.1") is None


def test_malformed_queries_are_refused_or_dropped() -> None:
    names, good = NameTable(), query("index.test")
    for dropped in (b"", good[:11], query("index.test", flags=0x8100)):
        assert dns.answer(dropped, names) is None
    loop = good[:12] + b"\xc0\x0c" + good[-4:]
    endless = good[:12] + (b"\x3f" + b"a" * 63) * 8
    for wrong in (good[:-1], good[:16], loop, endless, struct.pack("!6H", 7, 0, 2, 0, 0, 0)):
        assert read(dns.answer(wrong, names))[0] == 1
    assert read(dns.answer(query("index.test", flags=0x2800), names))[0] == 4
    chance = random.Random(1)
    for _ in range(2000):
        noise = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            noise[chance.randrange(len(noise))] = chance.randrange(256)
        dns.answer(bytes(noise[: chance.randrange(len(noise) + 1)]), names)


def test_many_names_stay_bounded_and_addresses_are_not_reused() -> None:
    names = NameTable(most=4)
    kept, given = names.address("kept"), set()
    for number in range(100):
        given.add(names.address(f"n{number}"))
        assert names.name(kept) == "kept"  # what is used stays
    assert len(given) == 100
    assert [names.name(each) is not None for each in sorted(given, key=socket.inet_aton)].count(True) == 3
    assert canonical("A.B.") == "a.b"
    assert canonical("a..b") is canonical("") is canonical("a.b..") is canonical("x" * 254) is None


def test_taken_port_is_an_error() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=f"{port} cannot be taken"):
            Sockets(port, 0, [])
        with pytest.raises(PortTaken, match=f"{port} cannot be taken"):
            Sockets(0, 0, [port])


@pytest.mark.parametrize(
    ("head", "target", "sent", "body"),
    [
        ("CONNECT a.test:443 HTTP/1.1\r\nHost: b", ("a.test", 443), None, None),
        ("CONNECT [::1]:80 HTTP/1.0", ("::1", 80), None, None),
        ("GET http://A.test HTTP/1.1", ("A.test", 80), "GET / HTTP/1.1\r\nHost: A.test", 0),
        ("GET http://u:p@a.test:81?q HTTP/1.1\r\nHost: evil\r\nProxy-Authorization: x\r\nConnection: x",
         ("a.test", 81), "GET /?q HTTP/1.1\r\nHost: a.test:81", 0),
        ("PUT http://a/b HTTP/1.1\r\nContent-Length: 12", ("a", 80),
         "PUT /b HTTP/1.1\r\nHost: a\r\nContent-Length: 12", 12),
        ("PUT http://a/ HTTP/1.1\r\nTransfer-Encoding: chunked", ("a", 80),
         "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked", None),
    ],
)  # fmt: skip
def test_proxy_request_is_rewritten(
    head: str, target: tuple[str, int], sent: str | None, body: int | None
) -> None:
    request = requests.parse_head(head.encode())
    assert request.target == target
    assert request.body == body
    assert request.head == (sent and f"{sent}\r\nConnection: close\r\n\r\n".encode())


@pytest.mark.parametrize(
    "head",
    [
        "GET / HTTP/1.1", "GET https://a/ HTTP/1.1", "CONNECT a HTTP/1.1", "CONNECT a:0 HTTP/1.1",
        "CONNECT a:65536 HTTP/1.1", "CONNECT :1 HTTP/1.1", "CONNECT a:1 HTTP/2", "hello",
        f"CONNECT {'x' * 256}:1 HTTP/1.1", "GET http://a/ HTTP/1.1\r\nA: b\nHost: c",
        "GET http://a/ HTTP/1.1\r\n folded", "GET http://a/ HTTP/1.1\r\nContent-Length: 1, 2",
        "GET http://a/ HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
        "GET http://a/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2",
    ],
)  # fmt: skip
def test_bad_proxy_request_is_refused(head: str) -> None:
    with pytest.raises(requests.BadProxyRequest):
        requests.parse_head(head.encode())


@pytest.mark.parametrize(
    ("received", "target"),
    [
        (b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", ("a.example", 443)),
        (b"CONNECT a.example:443 HTTP/1.1\r\n\r\n\x16\x03\x01", None),  # the client did not wait
        (b"CONNECT a.example:443 HTTP/1.1\r\n\r\n\r\n\r\n", None),
        (b"CONNECT a.example:443 HTTP/1.1\r\nHost: a", None),
        (b"CONNECT a.example HTTP/1.1\r\n\r\n", None),
        (b"GET http://a.example/ HTTP/1.1\r\n\r\n", None),
    ],
)
def test_whole_connect_is_known_at_once(received: bytes, target: tuple[str, int] | None) -> None:
    assert requests.whole_connect(received) == requests.whole_connect(received) == target


def test_refusal_is_one_line_and_keeps_its_reason() -> None:
    page = requests.page("denied", "no\r\nSet-Cookie: x\u2014" + "y" * 500)
    first, _, rest = page.partition(b"\r\n")
    assert first.startswith(b"HTTP/1.1 403 no??Set-Cookie: x?yyy")
    assert b"Set-Cookie" not in rest.partition(b"\r\n\r\n")[0]
    assert len(first) < 250
