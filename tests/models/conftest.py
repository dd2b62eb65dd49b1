"""A small HTTP server on loopback that plays an upstream: it answers as told and keeps what it was asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest


@dataclass
class Answer:
    """One HTTP answer.

    `hold` keeps the connection open after the last event, `cut` drops it in mid-body, `mute` drops it (or,
    with `hold`, keeps it open) before the first byte of an answer.
    """

    events: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    raw: bytes | None = None
    done: bool = False
    hold: bool = False
    cut: bool = False
    mute: bool = False
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> list[bytes]:
        if self.raw is not None:
            return [self.raw]
        chunks = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in self.events]
        return [*chunks, b"data: [DONE]\n\n"] if self.done else chunks


class Upstream:
    def __init__(self) -> None:
        self.answers: deque[Answer] = deque()
        self.requests: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.keys: list[str] = []
        self.closed_early = asyncio.Event()
        self.url = ""
        self._tasks: set[asyncio.Task[Any]] = set()

    def says(self, *events: dict[str, Any], **fields: Any) -> None:
        """Answer the next request so; fields are those of `Answer`."""
        self.answers.append(Answer(list(events), **fields))

    def refuses(self, status: int, message: str, **fields: Any) -> None:
        """Answer the next request with an error object; `headers` are the answer's."""
        headers = fields.pop("headers", {})
        kind = "invalid_request_error" if status < 500 else "server_error"
        error = {"message": message, "type": kind, "param": None, "code": None, **fields}
        self.answers.append(Answer(status=status, raw=json.dumps({"error": error}).encode(), headers=headers))

    def chats(self, *deltas: dict[str, Any], finish: str | None = "stop", usage: Any = None) -> None:
        """Answer the next request with a Chat Completions stream."""
        chunks = [_chunk([{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
        if finish is not None:
            chunks.append(_chunk([{"index": 0, "delta": {}, "finish_reason": finish}]))
        if usage is not None:
            chunks.append({**_chunk([]), "usage": usage})
        self.says(*chunks, done=True)

    def responds(self, *items: dict[str, Any], status: str = "completed", **response: Any) -> None:
        """Answer the next request with a Responses stream in which these items come whole, without deltas."""
        events: list[dict[str, Any]] = [{"type": "response.created", "response": _response("in_progress")}]
        for index, item in enumerate(items):
            for name in ("added", "done"):
                events.append({"type": f"response.output_item.{name}", "output_index": index, "item": item})
        events.append({"type": f"response.{status}", "response": {**_response(status), **response}})
        self.says(*({**event, "sequence_number": number} for number, event in enumerate(events)))

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._answer(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:])}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if head[0].startswith("GET "):  # a question about its models, to which it has no answer
            writer.write(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        self.paths.append(head[0].split()[1])
        self.keys.append(headers.get("authorization", ""))
        self.requests.append(json.loads(body))
        answer = self.answers.popleft()
        if not answer.mute:
            await self._speak(answer, writer)
        if answer.hold:
            await reader.read()  # ends when the client goes away
            self.closed_early.set()
        elif not answer.cut and not answer.mute:
            writer.write(b"0\r\n\r\n")
            await writer.drain()

    async def _speak(self, answer: Answer, writer: asyncio.StreamWriter) -> None:
        kind = "text/event-stream" if answer.status == 200 else "application/json"
        headers = {"Content-Type": kind, **answer.headers}
        more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(
            f"HTTP/1.1 {answer.status} X\r\n{more}Transfer-Encoding: chunked\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        for chunk in answer.body():
            writer.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            await writer.drain()

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _chunk(choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}


def _response(status: str) -> dict[str, Any]:
    return {"id": "resp_up", "object": "response", "status": status, "output": [], "usage": None}


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    played = Upstream()
    server = await asyncio.start_server(played.handle, "127.0.0.1", 0)
    played.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    yield played
    server.close()
    await played.aclose()
    await server.wait_closed()
