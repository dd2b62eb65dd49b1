"""Real clients through a broker to real HTTPS servers, over HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import asyncio
import base64
import gzip
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import brotli
import httpx
import pytest
import zstandard

from agent_kernel.egress.tls.secrets import DomainSecret
from tests.egress.tls.outside import (
    NAME,
    OTHER,
    PLACEHOLDER,
    TOKEN,
    VALUE,
    Given,
    Got,
    HttpsServer,
    Start,
    gateway,
)

BOTH = pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
URL = f"https://{NAME}/a?b=c"


@asynccontextmanager
async def client(server: HttpsServer, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client that trusts the container's authority and connects through the broker."""
    async with gateway(server.guarded(), folder) as way:
        context = ssl.create_default_context(cafile=str(way.trusted))
        async with httpx.AsyncClient(http2=True, verify=context, proxy=way.url, timeout=20) as made:
            yield made


def echo(got: Got) -> Given:
    """Repeat what the server has received, in headers and body."""
    headers = [(name.replace(b":", b"x-"), value) for name, value in got.headers.items()]
    body = b"\n".join(b"%s: %s" % each for each in got.headers.items()) + b"\n\n" + got.body
    framing = (b"content-length", b"transfer-encoding", b"accept-encoding")
    kept = [each for each in headers if each[0] not in framing]
    return Given(headers=[(b"content-length", b"%d" % len(body)), *kept], pieces=[body])


@BOTH
async def test_secret_arrives_and_never_comes_back(https: Start, tmp_path: Path, protocol: str) -> None:
    server = await https(protocol)
    server.answer = echo
    async with client(server, tmp_path) as web:
        headers = {"Authorization": f"Bearer {PLACEHOLDER}", "X-Key": f"a{PLACEHOLDER}b{PLACEHOLDER}"}
        for _ in range(2):
            answer = await web.post(URL, headers=headers, content=b"body")
            assert answer.status_code == 200
            assert answer.http_version == {"h2": "HTTP/2", "http/1.1": "HTTP/1.1"}[protocol]
            assert answer.headers["authorization"] == f"Bearer {PLACEHOLDER}"
            assert VALUE not in answer.text + str(answer.headers)
            assert f"a{PLACEHOLDER}b{PLACEHOLDER}" in answer.text
            assert answer.text.endswith("\n\nbody")
    for got in server.got:
        assert got.headers[b"authorization"] == f"Bearer {VALUE}".encode()
        assert got.headers[b"x-key"] == f"a{VALUE}b{VALUE}".encode()
        assert (got.method, got.target, got.body) == (b"POST", b"/a?b=c", b"body")
    assert (server.accepted, server.record.decision, server.record.failure) == (1, "allowed", None)
    assert VALUE not in repr((server.record, TOKEN))


@BOTH
async def test_debug_log_has_no_value(
    https: Start, tmp_path: Path, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = await https(protocol)
    server.answer = echo
    async with client(server, tmp_path) as web:
        caplog.set_level("DEBUG")
        assert (await web.get(URL, headers={"X-Key": PLACEHOLDER})).headers["x-key"] == PLACEHOLDER
    assert server.got[0].headers[b"x-key"] == VALUE.encode()
    assert VALUE not in caplog.text


@BOTH
async def test_secret_in_basic_credentials(https: Start, tmp_path: Path, protocol: str) -> None:
    server = await https(protocol)
    server.answer = echo
    async with client(server, tmp_path) as web:
        answer = await web.get(URL, auth=("user", PLACEHOLDER))
    sent = base64.b64encode(f"user:{VALUE}".encode()).decode()
    assert server.got[0].headers[b"authorization"] == f"Basic {sent}".encode()
    assert sent not in answer.text + str(answer.headers)
    assert base64.b64encode(f"user:{PLACEHOLDER}".encode()).decode() in answer.text


@BOTH
@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"url": f"https://{NAME}/{PLACEHOLDER}"}, "in the address of a request"),
        ({"url": f"https://{NAME}/?key={PLACEHOLDER}"}, "in the address of a request"),
        ({"content": f"key={PLACEHOLDER}"}, "in the body of a request"),
        ({"headers": {f"x-{PLACEHOLDER}": "a"}}, "in the name of a header"),
        ({"headers": {"Host": "evil.example"}}, "names a different host: evil.example"),
        ({"headers": {"Host": f"{NAME}:8443"}}, f"names a different host: {NAME}:8443"),
    ],
)
async def test_refused_request_never_arrives(
    https: Start, tmp_path: Path, protocol: str, asked: dict[str, object], reason: str
) -> None:
    server = await https(protocol)
    async with client(server, tmp_path) as web:
        answer = await web.request("POST", **{"url": URL, **asked})  # type: ignore[arg-type]
        assert answer.status_code == 403
        assert reason in answer.text
        assert (server.record.decision, server.got) == ("refused", [])
        assert reason in server.record.reason


async def test_secret_of_another_host_is_refused(https: Start, tmp_path: Path) -> None:
    server = await https("http/1.1")
    broker = server.guarded(TOKEN, DomainSecret(OTHER, "OTHER", "secret_placeholder_of_other", "other-value"))
    async with gateway(broker, tmp_path) as way:
        context = ssl.create_default_context(cafile=str(way.trusted))
        async with httpx.AsyncClient(verify=context, proxy=way.url, timeout=20) as web:
            answer = await web.get(f"https://{OTHER}/", headers={"X-Key": PLACEHOLDER})
            assert "a secret of another host is used" in answer.text
            answer = await web.get(f"https://{OTHER}/", auth=("u", PLACEHOLDER))
            assert "a secret of another host is used" in answer.text
            both = {"X-Key": "secret_placeholder_of_other"}
            assert (await web.get(f"https://{OTHER}/", headers=both)).status_code == 200
    assert [got.headers[b"x-key"] for got in server.got] == [b"other-value"]


CODINGS = {
    "identity": lambda data: data,
    "gzip": gzip.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@BOTH
@pytest.mark.parametrize("coding", CODINGS)
async def test_repeated_secret_is_hidden_in_codings(
    https: Start, tmp_path: Path, protocol: str, coding: str
) -> None:
    text = (b"x" * 70_000 + VALUE.encode()) * 3 + VALUE[:-1].encode()
    encoded = CODINGS[coding](text)
    pieces = [encoded[at : at + 7] for at in range(0, min(len(encoded), 700), 7)] + [encoded[700:]]
    server = await https(protocol)
    server.answer = lambda got: Given(headers=[(b"content-encoding", coding.encode())], pieces=pieces)
    async with client(server, tmp_path) as web:
        answer = await web.get(URL, headers={"Accept-Encoding": "gzip, deflate;q=0.5, br, zstd;q=0.1, *"})
    assert answer.content == text.replace(VALUE.encode(), PLACEHOLDER.encode())
    assert answer.headers.get("content-encoding") in (None, "identity")
    assert server.got[0].headers[b"accept-encoding"] == b"gzip, br, zstd;q=0.1"


@BOTH
async def test_unreadable_coding_is_refused(https: Start, tmp_path: Path, protocol: str) -> None:
    server = await https(protocol)
    server.answer = lambda got: Given(headers=[(b"content-encoding", b"compress")])
    async with client(server, tmp_path) as web:
        answer = await web.get(URL)
        assert "the content coding compress" in answer.text
        assert (answer.status_code, server.record.decision) == (403, "refused")


@BOTH
async def test_value_as_a_coding_is_not_shown(https: Start, tmp_path: Path, protocol: str) -> None:
    server = await https(protocol)
    server.answer = lambda got: Given(headers=[(b"content-encoding", VALUE.encode())])
    async with client(server, tmp_path) as web:
        answer = await web.get(URL)
    assert answer.status_code == 403
    assert PLACEHOLDER in server.record.reason
    assert VALUE not in answer.text + server.record.reason


@BOTH
async def test_streamed_response_is_not_held_back(https: Start, tmp_path: Path, protocol: str) -> None:
    server = await https(protocol)
    event, stream = b"data: 1\n\n", [(b"content-type", b"text/event-stream")]
    server.answer = lambda got: Given(headers=stream, pieces=[event])
    async with client(server, tmp_path) as web, web.stream("GET", URL) as answer:
        assert await anext(answer.aiter_raw()) == event


@BOTH
async def test_large_bodies_both_ways(https: Start, tmp_path: Path, protocol: str) -> None:
    server = await https(protocol)
    body = bytes(range(256)) * (4 << 12)
    parts = range(0, len(body), 100_000)
    server.answer = lambda got: Given(pieces=[got.body[at : at + 100_000] for at in parts])
    async with client(server, tmp_path) as web:
        answers = await asyncio.gather(*(web.post(URL, content=body) for _ in range(3)))
    assert all(answer.content == body for answer in answers)
    assert len(server.got) == 3


async def test_answer_before_the_end_of_a_request(https: Start, tmp_path: Path) -> None:
    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge")
        await writer.drain()
        writer.close()

    server = await https("http/1.1")
    server.serve = early
    async with client(server, tmp_path) as web:
        answer = await web.post(URL, content=bytes(8 << 20))
    assert (answer.status_code, answer.content) == (413, b"large")
    assert server.record.failure is None


@BOTH
async def test_head_and_empty_responses(https: Start, tmp_path: Path, protocol: str) -> None:
    server = await https(protocol)
    async with client(server, tmp_path) as web:
        server.answer = lambda got: Given(headers=[(b"content-length", b"1234")], pieces=[])
        if protocol == "http/1.1":
            assert (await web.head(URL)).headers["content-length"] == "1234"
        server.answer = lambda got: Given(status=204, pieces=[])
        assert (await web.get(URL)).status_code == 204
        server.answer = lambda got: Given(pieces=[])
        assert (await web.get(URL)).content == b""


async def test_server_without_protocols_gets_http1(https: Start, tmp_path: Path) -> None:
    server = await https()
    async with client(server, tmp_path) as web:
        assert (await web.get(URL)).http_version == "HTTP/1.1"
    assert server.got[0].version == "1.1"


async def test_unverified_server_is_refused(https: Start, tmp_path: Path) -> None:
    server = await https("http/1.1")
    server.trust = ssl.create_default_context  # type: ignore[method-assign]
    async with client(server, tmp_path) as web:
        with pytest.raises(httpx.ConnectError):
            await web.get(URL)
    assert "the server's certificate is not valid" in server.record.reason
    assert server.got == []
