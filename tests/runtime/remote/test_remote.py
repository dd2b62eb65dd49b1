"""What a remote runtime says when the other side is not as it should be. The other side is a small server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import pytest
from openai.types.responses import ResponseStreamEvent

from agent_kernel.errors import (
    AgentKernelError,
    InvalidRequest,
    SandboxGone,
    UpstreamInterrupted,
    UpstreamRefused,
    UpstreamUnavailable,
)
from agent_kernel.protocol.fold import fold
from agent_kernel.protocol.items import to_json
from agent_kernel.protocol.response import new_response
from agent_kernel.runtime.remote.runtime import RemoteRuntime

RESPONSE = to_json(new_response({}, id="resp_1", model="m", tools=[], created_at=0))
CREATED = {"type": "response.created", "sequence_number": 0, "response": RESPONSE}


def sse(*events: object) -> bytes:
    return b"".join(f"data: {json.dumps(event)}\n\n".encode() for event in events)


def head(status: int = 200, kind: str = "text/event-stream", length: int | None = None) -> bytes:
    size = "" if length is None else f"Content-Length: {length}\r\n"
    return f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n{size}Connection: close\r\n\r\n".encode()


def error(status: int, code: str | None = None, message: str = "no") -> bytes:
    body = json.dumps({"error": {"message": message, "type": "x", "param": "p", "code": code}}).encode()
    return head(status, "application/json", len(body)) + body


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[RemoteRuntime]:
    """A runtime whose server gives this answer to everything, and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        runtime = RemoteRuntime(f"http://127.0.0.1:{port}/v1", "secret-key")
        yield runtime
        await runtime.aclose()


async def respond(runtime: RemoteRuntime) -> list[ResponseStreamEvent]:
    async with aclosing(runtime.respond({"input": "x"})) as events:
        return [event async for event in events]


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (error(401, "invalid_api_key"), UpstreamRefused, "does not accept the key"),
        (error(403), UpstreamRefused, "refuses: no"),
        (error(400, "some_code", "wrong"), InvalidRequest, "wrong"),
        (error(410, "sandbox_gone", "it died"), SandboxGone, "it died"),
        (error(500), UpstreamUnavailable, "no"),
        (error(429), UpstreamUnavailable, "no"),
        (head(502, "text/html") + b"<html>", UpstreamUnavailable, "502"),
        (error(400, "keyboard_interrupt"), InvalidRequest, "no"),
        (b"", UpstreamUnavailable, "No server answers"),
    ],
)
async def test_refusals(answer: bytes, kind: type[AgentKernelError], words: str) -> None:
    async with answering(answer) as runtime:
        for call in (
            lambda: respond(runtime),
            lambda: runtime.retrieve("resp_1"),
            lambda: runtime.containers.create({}),
            lambda: runtime.containers.files.list("cntr_1"),
        ):
            with pytest.raises(kind, match=words) as caught:
                await call()
            assert "secret-key" not in str(caught.value)


async def test_nobody_there() -> None:
    async with answering(b"") as runtime:
        pass  # and now the server is closed
    runtime = RemoteRuntime(str(runtime._client.base_url))
    with pytest.raises(UpstreamUnavailable, match=r"No server answers at http://127\.0\.0\.1"):
        await respond(runtime)
    await runtime.aclose()


BROKEN: dict[str, Callable[[], bytes]] = {
    "ends early": lambda: head() + sse(CREATED),
    "breaks off": lambda: head(length=10_000) + sse(CREATED),
    "says nonsense": lambda: head() + sse(CREATED) + b"data: {nonsense\n\n",
}


@pytest.mark.parametrize("how", BROKEN)
async def test_a_stream_that_breaks_off_ends_as_a_failure(how: str) -> None:
    async with answering(BROKEN[how]()) as runtime:
        events = await respond(runtime)
    assert [event.type for event in events] == ["response.created", "error", "response.failed"]
    assert [to_json(event)["sequence_number"] for event in events] == [0, 1, 2]
    response = fold(events)
    assert response.status == "failed"
    assert response.error is not None
    assert "broke off" in response.error.message


async def test_a_stream_that_never_begins_is_raised() -> None:
    async with answering(head()) as runtime:
        with pytest.raises(UpstreamInterrupted, match="broke off"):
            await respond(runtime)


async def test_fields_and_events_of_an_extension_come_through() -> None:
    extended = {**CREATED, "agent_kernel": {"note": 1}}
    strange = {"type": "agent_kernel.strange", "sequence_number": 1, "more": [1]}
    completed = {
        "type": "response.completed",
        "sequence_number": 2,
        "response": {**RESPONSE, "status": "completed"},
    }
    async with answering(head() + sse(extended, strange, completed)) as runtime:
        events = await respond(runtime)
    assert [to_json(event)["type"] for event in events] == [
        "response.created",
        "agent_kernel.strange",
        "response.completed",
    ]
    assert to_json(events[0])["agent_kernel"] == {"note": 1}
    assert to_json(events[1])["more"] == [1]
