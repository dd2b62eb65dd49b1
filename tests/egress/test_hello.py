from __future__ import annotations

import contextlib
import ssl
import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_kernel.egress.gate import NotForwarded, TlsGate
from agent_kernel.egress.hello import BadHello, HelloReader, HiddenName, parse_hello
from agent_kernel.egress.policy import NetworkRule

NAME = "api.example.org"
RULE = NetworkRule(NAME)


def openssl_hello(
    name: str | None = NAME, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, protocols: int = 1
) -> bytes:
    """Return the first bytes of a real TLS client; many protocols make its ClientHello large."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols([f"protocol-{number:05}" for number in range(protocols)])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def body_of(records: bytes) -> bytes:
    """Return the handshake message in records, without its header."""
    message, at = b"", 0
    while at < len(records):
        size = int.from_bytes(records[at + 3 : at + 5], "big")
        message += records[at + 5 : at + 5 + size]
        at += 5 + size
    return message[4:]


def records_of(body: bytes, size: int = 1 << 14) -> bytes:
    """Return a handshake message as records of `size` bytes."""
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece for piece in pieces)


def block(data: bytes, width: int = 2) -> bytes:
    return len(data).to_bytes(width, "big") + data


def server_name(name: bytes, kind: int = 0) -> bytes:
    return struct.pack(">H", 0) + block(block(bytes([kind]) + block(name)))


def built(*extensions: bytes) -> bytes:
    """Return the body of a ClientHello."""
    start = b"\x03\x03" + bytes(32) + block(b"", 1) + block(b"\x13\x01") + block(b"\x00", 1)
    return start + block(b"".join(extensions))


HELLOS = {
    "1.2": openssl_hello(version=ssl.TLSVersion.TLSv1_2),
    "1.3": openssl_hello(),
    "large": openssl_hello(protocols=200),
    "records": openssl_hello(protocols=1200),
}


@pytest.mark.parametrize("kind", HELLOS)
@pytest.mark.parametrize("segment", [7, 1000, 1 << 20])
@pytest.mark.parametrize("record", [1, 50, 1 << 14])
def test_hello_passes_unchanged(kind: str, segment: int, record: int) -> None:
    sent = records_of(body_of(HELLOS[kind]), record)
    gate = TlsGate(RULE, NAME)
    pieces = [gate.feed(sent[at : at + segment]) for at in range(0, len(sent), segment)]
    assert not any(pieces[:-1])
    assert pieces[-1] == sent


def test_records_of_openssl_are_large() -> None:
    assert len(HELLOS["records"]) > 1 << 14
    assert records_of(body_of(HELLOS["records"])) == HELLOS["records"]


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (openssl_hello("evil.example"), "names a different server: evil.example"),
        (openssl_hello("example.org"), "names a different server"),
        (openssl_hello(None), "names no server"),
        (records_of(built(server_name(b"api.example.org."))), "names a different server"),
        (records_of(built(server_name(b"api.example.org\0.evil"))), "malformed server name"),
        (records_of(built(server_name(b"api.example.org\r\nx"))), "malformed server name"),
        (records_of(built(server_name(b"\xff"))), "malformed server name"),
        (records_of(built(server_name(b""))), "malformed server name"),
        (records_of(built(server_name(NAME.encode(), kind=1))), "malformed server name"),
        (records_of(built(server_name(NAME.encode()), server_name(b"evil.example"))), "an extension twice"),
        (records_of(built(server_name(NAME.encode()), b"\xfe\x0d" + block(b"x"))), "hides the server's name"),
        (records_of(built(server_name(NAME.encode()), b"\xff\xce" + block(b"x"))), "hides the server's name"),
        (records_of(built()), "names no server"),
        (records_of(built(server_name(NAME.encode())) + b"x"), "is malformed"),
        (records_of(built(server_name(NAME.encode())))[:-1] + b"", ""),
        (records_of(b"\x03\x03"), "is malformed"),
        (b"GET / HTTP/1.1\r\nHost: api.example.org\r\n\r\n", "no TLS ClientHello"),
        (b"SSH-2.0-x\r\n", "no TLS ClientHello"),
        (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", "no TLS ClientHello"),
        (b"\x16\x02\x01\x00\x04\x01\x00\x00\x00", "malformed"),
        (b"\x16\x03\x01\x00\x00", "malformed"),
        (b"\x16\x03\x01\xff\xff", "malformed"),
        (b"\x16\x03\x01\x00\x04\x01\x7f\xff\xff", "no TLS ClientHello"),
        (b"\x16\x03\x01\x00\x04\x01\x02\x00\x00", "too large"),
        (b"\x80\x2e\x01\x03\x01", "no TLS ClientHello"),
        (b"\x14\x03\x01\x00\x01\x01", "no TLS ClientHello"),
    ],
)
def test_wrong_hello_is_refused(sent: bytes, reason: str) -> None:
    gate = TlsGate(RULE, NAME)
    if not reason:  # one byte is missing
        assert (gate.feed(sent), gate.end()) == (b"", b"")
        return
    with pytest.raises(NotForwarded, match=reason) as caught:
        gate.feed(sent)
    assert caught.value.reason.isprintable()


def test_case_of_the_server_name_does_not_matter() -> None:
    sent = records_of(built(server_name(b"API.Example.ORG")))
    assert TlsGate(RULE, NAME).feed(sent) == sent


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        (NetworkRule("db", port=443, private=True), True),
        (NetworkRule("10.0.0.5", port=443, private=True), True),
        (NetworkRule("db.internal", port=443, private=True), False),
        (NetworkRule("db", port=443), False),
    ],
)
def test_hello_without_a_name(rule: NetworkRule, allowed: bool) -> None:
    sent, gate = openssl_hello(None), TlsGate(rule, rule.name)
    if allowed:
        assert gate.feed(sent) == sent
    else:
        with pytest.raises(NotForwarded, match="names no server"):
            gate.feed(sent)


CHANGE_CIPHER = b"\x14\x03\x03\x00\x01\x01"
SECRET = b"\x17\x03\x03\x00\x02hi"
FINISHED = (
    b"\x16\x03\x03\x00\x18" + bytes([1, 0xAA]) + bytes(22)
)  # encrypted; its first byte is like a hello's
EARLY_DATA = b"\x00\x2a\x00\x00"


@pytest.mark.parametrize("between", [b"", CHANGE_CIPHER, CHANGE_CIPHER * 3])
def test_second_hello_is_checked(between: bytes) -> None:
    first = HELLOS["1.3"]
    gate = TlsGate(RULE, NAME)
    assert gate.feed(first + between + first + SECRET) == first + between + first + SECRET
    gate = TlsGate(RULE, NAME)
    assert gate.feed(first + between) == first + between
    with pytest.raises(NotForwarded, match="different server"):
        gate.feed(records_of(body_of(openssl_hello("evil.example")), 3))
    with pytest.raises(NotForwarded, match="third"):
        TlsGate(RULE, NAME).feed((first + between) * 3)


def test_second_hello_after_early_data_is_checked() -> None:
    first = records_of(built(server_name(NAME.encode()), EARLY_DATA))
    gate = TlsGate(RULE, NAME)
    assert gate.feed(first + CHANGE_CIPHER + SECRET) == first + CHANGE_CIPHER + SECRET
    with pytest.raises(NotForwarded, match="different server"):
        gate.feed(openssl_hello("evil.example"))


@pytest.mark.parametrize(
    "rest", [SECRET, CHANGE_CIPHER + SECRET, CHANGE_CIPHER + FINISHED, b"\x15\x03\x03\x00\x02\x01\x00"]
)
def test_everything_after_the_hello_passes(rest: bytes) -> None:
    gate = TlsGate(RULE, NAME)
    sent = HELLOS["1.3"] + rest + bytes(range(256)) * 1000
    assert b"".join(gate.feed(sent[at : at + 999]) for at in range(0, len(sent), 999)) == sent


@settings(max_examples=100)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_held(data: bytes) -> None:
    with contextlib.suppress(NotForwarded):
        assert TlsGate(RULE, NAME).feed(data) == b""


def name_for_openssl(records: bytes) -> str | None:
    """Return the name that a real TLS server reads in a ClientHello, or None if it refuses the message."""
    seen: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = lambda connection, name, context: seen.append(name)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    incoming.write(records)
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    with contextlib.suppress(ssl.SSLError):
        server.do_handshake()
    return seen[0].lower() if seen and seen[0] else None


def test_openssl_reads_the_same_name() -> None:
    for sent in HELLOS.values():
        assert name_for_openssl(sent) == NAME
    assert name_for_openssl(openssl_hello("evil.example")) == "evil.example"


@settings(max_examples=100)
@given(st.data())
def test_a_changed_hello_never_passes_with_another_name(data: st.DataObject) -> None:
    changed = bytearray(HELLOS[data.draw(st.sampled_from(["1.2", "1.3"]))])
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        passed = TlsGate(RULE, NAME).feed(bytes(changed))
    except NotForwarded:
        return
    assert name_for_openssl(passed) in (None, NAME)


@pytest.mark.parametrize("cut", [lambda body: body[:-1], lambda body: body[:40], lambda body: body[:1]])
def test_short_body_is_malformed(cut: Callable[[bytes], bytes]) -> None:
    with pytest.raises(BadHello):
        parse_hello(cut(body_of(HELLOS["1.3"])))


def test_reader_names_a_hidden_name() -> None:
    with pytest.raises(HiddenName):
        HelloReader().feed(records_of(built(b"\xfe\x0d" + block(b""))))
