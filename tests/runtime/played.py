"""An upstream on loopback that plays Chat Completions, one prepared answer per request, and turns with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from openai.types.responses import Response

from agent_kernel.models.catalogue import Models, NamedUpstream
from agent_kernel.models.retry import RetryPolicy
from agent_kernel.protocol.fold import fold
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.sandboxes.base import Backend
from agent_kernel.store.sqlite.store import sqlite_store

SHELL = {"type": "shell", "environment": {"type": "container_auto"}}

NONE: Mapping[str, NamedUpstream] = {}

Turn = Callable[..., Awaitable[Response]]


class Upstream:
    """What it will say, and what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.prepared: list[bytes] = []
        self.requests: list[dict[str, Any]] = []
        self.stop: Callable[[], object] = lambda: None
        self.asked: asyncio.Queue[None] = asyncio.Queue()
        """Has an entry for each request that came."""

    def says(
        self, *deltas: dict[str, Any], finish: str = "stop", whole: bool = True, usage: Any = None
    ) -> None:
        """Answer the next request so; without `whole` it breaks off."""
        chunks: list[dict[str, Any]] = [
            {"index": 0, "delta": delta, "finish_reason": None} for delta in deltas
        ]
        if whole:
            chunks.append({"index": 0, "delta": {}, "finish_reason": finish})
        base: dict[str, Any] = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        if usage is not None:
            base = {**base, "usage": usage}
        lines = [f"data: {json.dumps({**base, 'choices': [chunk]})}\n\n" for chunk in chunks]
        self._answer("200 OK", "".join([*lines, "data: [DONE]\n\n" if whole else ""]))

    def streams_chunks(self, *choices: dict[str, Any]) -> None:
        """Answer the next request with these choices, each in a chunk, and the end."""
        base: dict[str, Any] = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        end = {"index": 0, "delta": {}, "finish_reason": "stop"}
        lines = [f"data: {json.dumps({**base, 'choices': [each]})}\n\n" for each in (*choices, end)]
        self._answer("200 OK", "".join([*lines, "data: [DONE]\n\n"]))

    def responds(self, *given: dict[str, Any], **response: Any) -> None:
        """Answer the next request in the other dialect, by items that come whole."""
        events: list[dict[str, Any]] = []
        for index, item in enumerate(given):
            for name in ("added", "done"):
                events.append({"type": f"response.output_item.{name}", "output_index": index, "item": item})
        whole = {"id": "r", "status": "completed", "output": [], "usage": None, **response}
        events.append({"type": "response.completed", "response": whole})
        self._answer("200 OK", "".join(f"data: {json.dumps(event)}\n\n" for event in events))

    def streams(self, given: list[dict[str, Any]], *, in_pieces: bool) -> None:
        """Answer in the other dialect; with `in_pieces` the arguments of calls come in deltas."""
        events: list[dict[str, Any]] = []
        for index, item in enumerate(given):
            about = {"output_index": index, "item_id": item["id"]}
            whole = item.get("arguments")
            text = whole if in_pieces and isinstance(whole, str) else ""
            added = {**item, "arguments": ""} if text else item
            events.append({"type": "response.output_item.added", "output_index": index, "item": added})
            for start in range(0, len(text), 3):
                kind = "response.function_call_arguments.delta"
                events.append({"type": kind, "delta": text[start : start + 3], **about})
            events.append({"type": "response.output_item.done", "output_index": index, "item": item})
        end: dict[str, Any] = {"id": "r", "status": "completed", "output": [], "usage": None}
        events.append({"type": "response.completed", "response": end})
        numbered = [{**event, "sequence_number": number} for number, event in enumerate(events)]
        self._answer("200 OK", "".join(f"data: {json.dumps(event)}\n\n" for event in numbered))

    def sends(self, *events: dict[str, Any]) -> None:
        """Answer in the other dialect with these events, and the one that closes the answer."""
        end: dict[str, Any] = {"id": "r", "status": "completed", "output": [], "usage": None}
        numbered = [
            {**event, "sequence_number": number}
            for number, event in enumerate([*events, {"type": "response.completed", "response": end}])
        ]
        self._answer("200 OK", "".join(f"data: {json.dumps(event)}\n\n" for event in numbered))

    def answers(self, body: dict[str, Any]) -> None:
        """Answer the next request with JSON."""
        text = json.dumps(body)
        self._answer("200 OK", text, {"Content-Type": "application/json", "Content-Length": str(len(text))})

    def refuses(self, status: int, message: str, headers: dict[str, str]) -> None:
        """Answer the next request with an error object."""
        body = json.dumps({"error": {"message": message}})
        self._answer(f"{status} No", body, {"Content-Length": str(len(body)), **headers})

    def hangs(self) -> None:
        """Take the next request, and say nothing until the client leaves."""
        self.prepared.append(b"")

    def _answer(self, status: str, body: str, headers: dict[str, str] | None = None) -> None:
        given = {"Content-Type": "text/event-stream", "Connection": "close", **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        self.prepared.append(f"HTTP/1.1 {status}\r\n{head}\r\n{body}".encode())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        if head.startswith("get "):  # it says nothing about itself
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()
            return
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        self.requests.append(json.loads(await reader.readexactly(length)))
        self.asked.put_nowait(None)
        answer = self.prepared.pop(0)
        writer.write(answer)
        await writer.drain()
        if not answer:
            await reader.read()
        writer.close()
        await writer.wait_closed()


def call(index: int, name: str, arguments: dict[str, Any], call_id: str = "") -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    call_id = call_id or f"call_{name}"
    return {"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]}


async def at_once(_: float) -> None:
    """No wait before an upstream is asked again."""


@asynccontextmanager
async def runtime_on(
    url: str, backend: Backend, folder: Path, upstreams: Mapping[str, NamedUpstream] = NONE, **fields: Any
) -> AsyncGenerator[LocalRuntime, None]:
    """A runtime whose models are this upstream's; its containers are removed at the end.

    Models of `native/` get tools as OpenAI's do. `upstreams` are more, by the prefix of their models.
    """
    runtime = LocalRuntime(
        RuntimeParts(
            models=Models(
                upstream_url=url,
                upstream_key=None,
                default="chat/m",
                retry=RetryPolicy(sleep=at_once),
                upstreams={"native": NamedUpstream("responses", url, shell="native"), **upstreams},
            ),
            backend=backend,
            store=sqlite_store(folder),
            **fields,
        )
    )
    yield runtime
    for container in (await runtime.containers.list(limit=100)).data:
        await runtime.containers.delete(container.id)
    await runtime.aclose()


def turns_of(runtime: LocalRuntime) -> Turn:
    """Runs a turn to its end."""

    async def turn(said: Any, **request: Any) -> Response:
        async with aclosing(runtime.respond({"input": said, **request})) as events:
            return fold([event async for event in events])

    return turn


def items(response: Response) -> list[dict[str, Any]]:
    """Its output as JSON."""
    output: list[dict[str, Any]] = to_json(response)["output"]
    return output
