"""Requests go out as the `openai` package would send them, with its address, headers, body and errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import openai
import pytest

from agent_kernel.models.sending.client import OpenAIClient
from tests.models.sending.serving import serving

BODY = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Grüße 🎈"}]}
ITS_OWN = {"x-stainless-retry-count", "x-stainless-read-timeout", "x-stainless-raw-response"}
"""What the package says of itself in each request, which nothing needs."""

Sent = tuple[str, dict[str, str], bytes]


@asynccontextmanager
async def listening(answer: bytes) -> AsyncIterator[tuple[str, list[Sent]]]:
    """A server that gives this answer, and what it was sent: the first line, the headers, the body."""
    sent: list[Sent] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        sent.append((first, headers, await reader.readexactly(int(headers["content-length"]))))
        writer.write(answer)

    async with serving(serve) as (url, _):
        yield url, sent


def answer(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


async def test_a_request_is_what_the_package_would_send() -> None:
    async with listening(answer(200, b"{}")) as (url, sent):
        client = OpenAIClient(url, "a-key", httpx2.Timeout(30))
        for _ in range(2):
            response = await client.post("/chat/completions", BODY)
            assert await response.aread() == b"{}"
        await client.client.post("/chat/completions", body=BODY, cast_to=httpx2.Response)
        await client.aclose()
    once, again, packages = sent
    assert once == again
    assert packages[0] == once[0] == "POST /v1/chat/completions HTTP/1.1"
    assert {name: value for name, value in packages[1].items() if name not in ITS_OWN} == once[1]
    assert once[1]["authorization"] == "Bearer a-key"
    assert packages[2] == once[2]


@pytest.mark.parametrize("status", [400, 401, 422, 429, 503])
async def test_a_refusal_is_the_packages_error(status: int) -> None:
    async with listening(answer(status, b'{"error": {"message": "no", "code": "c"}}')) as (url, _):
        client = OpenAIClient(url, "a-key", httpx2.Timeout(30))
        with pytest.raises(openai.APIStatusError) as ours:
            await client.post("/responses", BODY)
        with pytest.raises(openai.APIStatusError) as theirs:
            await client.client.post("/responses", body=BODY, cast_to=httpx2.Response)
        await client.aclose()
    assert type(ours.value) is type(theirs.value)
    assert (str(ours.value), ours.value.body) == (str(theirs.value), theirs.value.body)


@pytest.mark.parametrize("broken", [b"", b"no HTTP\r\n\r\n", answer(500, b"{}")[:-1]])
async def test_a_lost_connection_is_the_packages_error(broken: bytes) -> None:
    async with listening(broken) as (url, _):
        client = OpenAIClient(url, "a-key", httpx2.Timeout(30))
        with pytest.raises(openai.APIConnectionError):
            await client.post("/responses", BODY)
        await client.aclose()
