from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_kernel.egress.gate import FirstBytesGate, Gate, HttpGate, NotForwarded, TlsGate, gate_for
from agent_kernel.egress.policy import NetworkRule
from tests.egress.test_hello import NAME, RULE, openssl_hello

PRIVATE = NetworkRule(NAME, port=8080, private=True)
HOST = f"Host: {NAME}\r\n".encode()


def through(gate: Gate, sent: bytes, size: int = 1 << 20) -> bytes:
    return b"".join(gate.feed(sent[at : at + size]) for at in range(0, len(sent), size)) + gate.end()


def get(*lines: bytes, target: bytes = b"/", host: bytes = HOST) -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + host + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


BODY = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 11\r\n\r\nhello\r\nGET "
CHUNKED = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize("port", [80, 8080])
def test_requests_pass_one_after_another(size: int, port: int) -> None:
    sent = get() + BODY + get(b"X-Note:  \xff kept") + get(target=b"http://api.example.org/x?y=http://z/")
    expected = sent.replace(b"X-Note:  ", b"X-Note: ")
    assert through(gate_for(RULE, NAME, port), sent, size) == expected


@pytest.mark.parametrize("size", [1, 1 << 20])
def test_chunked_request_keeps_its_content(size: int) -> None:
    passed = through(HttpGate(NAME, 80), CHUNKED + get(), size)
    assert passed.startswith(CHUNKED.partition(b"\r\n\r\n")[0])
    assert passed.endswith(b"0\r\n\r\n" + get())
    body = passed.partition(b"\r\n\r\n")[2].partition(b"0\r\n\r\n")[0]
    assert b"".join(body.split(b"\r\n")[1::2]) == b"hello"


READ_ONLY = NetworkRule(NAME, read_only=True)


def test_read_only_rule_in_clear() -> None:
    sent = get() + get().replace(b"GET", b"HEAD") + get().replace(b"GET", b"OPTIONS")
    assert through(gate_for(READ_ONLY, NAME, 80), sent) == sent
    for method in (b"POST", b"get", b"BREW"):
        gate = gate_for(READ_ONLY, NAME, 80)
        reason = f"the rule `GET {NAME}` allows only .*, not {method.decode()}$"
        with pytest.raises(NotForwarded, match=reason) as caught:
            gate.feed(get().replace(b"GET", method))
        assert caught.value.answer.startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("port", [22, 443, 8080])
def test_read_only_rule_passes_nothing_unread(port: int) -> None:
    with pytest.raises(NotForwarded, match="malformed"):
        gate_for(READ_ONLY, NAME, port).feed(openssl_hello())
    assert through(gate_for(READ_ONLY, NAME, port), b"SSH-2.0-x\r\n") == b""


@pytest.mark.parametrize("host", [b"API.example.org", b"api.example.org.", b"api.example.org:80"])
def test_spelling_of_the_host_does_not_matter(host: bytes) -> None:
    assert through(HttpGate(NAME, 80), get(host=b"Host: " + host + b"\r\n"))


WRONG = [
    (get(host=b"Host: evil.example\r\n"), "Host header names a different host: evil.example"),
    (get(host=b"Host: evilapi.example.org\r\n"), "different host"),
    (get(host=b"Host: api.example.org:8081\r\n"), "different host"),
    (get(host=b"Host: api.example.org@evil.example\r\n"), "different host"),
    (get(host=b"Host: api.example.org, evil.example\r\n"), "different host|malformed"),
    (get(host=b"Host: 127.0.0.1\r\n"), "different host"),
    (get(host=b"Host: \r\n"), "different host"),
    (get(host=b"Host: \xff\x01\r\n"), "different host|malformed"),
    (get(host=b""), "malformed|no Host"),
    (b"GET / HTTP/1.0\r\n\r\n", "no Host header"),
    (get(host=HOST + b"Host: evil.example\r\n"), "malformed"),
    (get(target=b"http://evil.example/"), "target names a different host"),
    (get(target=b"https://api.example.org/"), "malformed target"),
    (get(target=b"//evil.example/").replace(b"GET //", b"GET evil.example:80/"), "malformed target"),
    (b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + b"\r\n", "CONNECT"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "not HTTP/1.1"),
    (get(b"Upgrade: websocket", b"Connection: Upgrade"), "use wss"),
    (get(b"Transfer-Encoding: chunked", b"Content-Length: 5"), "two lengths"),
    (get(b"Transfer-Encoding: gzip, chunked"), "malformed"),
    (get(b"Content-Length: 5", b"Content-Length: 6"), "malformed"),
    (get(b"X : y"), "malformed"),
    (get() + get(host=b"Host: evil.example\r\n"), "different host"),
    (BODY + get(host=b"Host: evil.example\r\n"), "different host"),
    (CHUNKED + get(host=b"Host: evil.example\r\n"), "different host"),
    (b"GET /\r\nHost: evil.example\r\n\r\n", "malformed|no Host"),
    (b"get http://evil.example/x\r\n\r\n", "malformed|no Host"),
    (b"GET /\x01 HTTP/1.1\r\nHost: evil.example\r\n\r\n", "malformed|different host"),
    (b"\r\n\r\n" + get(host=b"Host: evil.example\r\n"), "malformed"),
    (get(b"X: " + b"a" * 70_000), "malformed"),
]


@pytest.mark.parametrize(("sent", "reason"), WRONG)
@pytest.mark.parametrize(("port", "size"), [(80, 1000), (8080, 1000), (8080, 3)])
def test_wrong_request_is_refused(sent: bytes, reason: str, port: int, size: int) -> None:
    gate = gate_for(RULE, NAME, port)
    with pytest.raises(NotForwarded, match=reason) as caught:
        through(gate, sent.replace(b":80\r\n", b":%d\r\n" % port), size)
    assert caught.value.reason.isprintable()
    if caught.value.answer:
        head, _, text = caught.value.answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 403 ")
        assert head.count(b"\r\n") == 3
        assert caught.value.reason in text.decode()


def test_text_that_is_not_http_is_refused_on_port_80() -> None:
    for sent in (b"SSH-2.0-x\r\n", b"\x16\x03\x01\x00", b"\x00\x00\r\n\r\n"):
        with pytest.raises(NotForwarded, match="malformed"):
            through(HttpGate(NAME, 80), sent + b"\r\n\r\n")


def test_second_request_is_refused_without_an_answer() -> None:
    gate = HttpGate(NAME, 80)
    gate.feed(get())
    with pytest.raises(NotForwarded) as caught:
        gate.feed(get(host=b"Host: evil.example\r\n"))
    assert caught.value.answer == b"", "the server's response may be on its way"


def test_change_to_http2_is_left_out() -> None:
    sent = get(b"Connection: keep-alive, Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMA")
    assert through(HttpGate(NAME, 80), sent) == get(b"Connection: keep-alive")


def test_bytes_after_the_last_request_are_dropped() -> None:
    last = get(b"Connection: close")
    assert through(HttpGate(NAME, 80), last + get(host=b"Host: evil.example\r\n")) == last


UNTOUCHED = [
    b"SSH-2.0-OpenSSH_9.2\r\n" + bytes(range(256)),
    b"*1\r\n$4\r\nPING\r\n",
    b'CONNECT {"verbose":false}\r\nPING\r\n',
    b"get key\r\n",
    b"\x00\x00\x00\x2a\x00\x03\x00\x00user\x00x\x00\x00" + bytes(30),
    b"\x00\x00\x00\x08\x04\xd2\x16\x2f" + b"\x00\x00\x00\x2a\x00\x03\x00\x00user\x00",
    b"\x00",
    b"\xff\xfe",
    b"GET",
    b"\x85\x00\x02",
    b"x" * 100,
]


@pytest.mark.parametrize("sent", UNTOUCHED)
@pytest.mark.parametrize("size", [1, 1 << 20])
@pytest.mark.parametrize("rule", [RULE, PRIVATE])
def test_other_protocols_pass_untouched(sent: bytes, size: int, rule: NetworkRule) -> None:
    assert through(FirstBytesGate(rule, NAME, 5000), sent, size) == sent


@pytest.mark.parametrize("start", [b"", bytes.fromhex("0000000804d2162f"), bytes.fromhex("0000000804d21630")])
@pytest.mark.parametrize("rule", [RULE, PRIVATE])
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_tls_is_recognised_on_every_port(start: bytes, rule: NetworkRule, size: int) -> None:
    sent = start + openssl_hello()
    assert through(FirstBytesGate(rule, NAME, 5432), sent, size) == sent
    with pytest.raises(NotForwarded, match="different server"):
        through(FirstBytesGate(rule, NAME, 5432), start + openssl_hello("evil.example"), size)


def test_private_service_is_not_searched_for_http() -> None:
    sent = get(b"Upgrade: websocket", host=b"Host: alias\r\n")
    assert through(FirstBytesGate(PRIVATE, NAME, 8080), sent) == sent


def test_refusals_by_first_bytes() -> None:
    with pytest.raises(NotForwarded, match="names no server"):
        through(FirstBytesGate(RULE, NAME, 8443), b"\x80\x2e\x01\x03\x01\x00\x15", 1)
    with pytest.raises(NotForwarded, match="too long"):
        through(FirstBytesGate(RULE, NAME, 8080), b"GET /" + b"a" * 20_000, 1000)


PIECES = [b"GET", b" ", b"/", b"\t", b"\r\n", b"\n", b"\r", b" HTTP/1.1\r\n", HOST, b"Host: evil.example\r\n"]
PIECES += [
    b"\x00",
    b"\x00\x00\x00\x08\x04\xd2",
    b"\x16\x2f",
    b"\x16\x03\x01",
    b"\x80",
    b"\x01\x03",
    b"x" * 70,
]
PIECES += [b"\r\n\r\n", openssl_hello(), openssl_hello("evil.example"), b"HTTP/1.1", b"*", b"http://"]
PIECES += [b"Content-Length: 5\r\n", b"\x01"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=8), st.data(), st.sampled_from([80, 443, 5432]))
def test_decision_does_not_depend_on_segments(pieces: list[bytes], data: st.DataObject, port: int) -> None:
    def outcome(sizes: Iterator[int]) -> bytes | None:
        gate, at, passed = gate_for(RULE, NAME, port), 0, b""
        try:
            while at < len(sent):
                size = next(sizes)
                passed += gate.feed(sent[at : at + size])
                at += size
        except NotForwarded:
            return None
        return passed + gate.end()

    sent = b"".join(pieces)
    sizes = data.draw(st.lists(st.integers(1, 30), min_size=1, max_size=5))
    assert outcome(itertools.cycle(sizes)) == outcome(itertools.repeat(len(sent)))


def test_gate_of_each_port() -> None:
    kinds = [type(gate_for(RULE, NAME, port)) for port in (80, 443, 22)]
    assert kinds == [HttpGate, TlsGate, FirstBytesGate]
