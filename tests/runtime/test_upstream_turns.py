"""Turns whose model is an upstream: the client's functions, and an upstream that dies on the way.

The upstream is a small server that plays Chat Completions, one prepared answer per request.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from openai.types.responses import Response

from agent_kernel.errors import InvalidRequest
from agent_kernel.models.catalogue import Models
from agent_kernel.protocol.fold import fold
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.sqlite import SqliteStore
from agent_kernel.sandboxes.bubblewrap import BubblewrapBackend

pytestmark = pytest.mark.bubblewrap

FUNCTION = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}
SHELL = {"type": "shell", "environment": {"type": "container_auto"}}

Turn = Callable[..., Awaitable[Response]]


class Upstream:
    """What it will say, and what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: list[bytes] = []
        self.requests: list[dict[str, Any]] = []

    def says(self, *deltas: dict[str, Any], finish: str = "stop", whole: bool = True) -> None:
        chunks: list[dict[str, Any]] = [
            {"index": 0, "delta": delta, "finish_reason": None} for delta in deltas
        ]
        if whole:
            chunks.append({"index": 0, "delta": {}, "finish_reason": finish})
        base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        lines = [f"data: {json.dumps({**base, 'choices': [chunk]})}\n\n" for chunk in chunks]
        self.answers.append("".join([*lines, "data: [DONE]\n\n" if whole else ""]).encode())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        self.requests.append(json.loads(await reader.readexactly(length)))
        answer = self.answers.pop(0)
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + answer
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()


def call(index: int, name: str, arguments: dict[str, Any], call_id: str = "") -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    call_id = call_id or f"call_{name}"
    return {"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]}


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    played = Upstream()
    server = await asyncio.start_server(played.serve, "127.0.0.1", 0)
    async with server:
        played.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        yield played


@pytest.fixture
async def turn(
    upstream: Upstream, bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> AsyncIterator[Turn]:
    runtime = LocalRuntime(
        models=Models(upstream_url=upstream.url, upstream_key=None, default="chat/m"),
        backend=bubblewrap_backend,
        store=SqliteStore(tmp_path / "store.sqlite"),
    )

    async def turn(said: Any, **request: Any) -> Response:
        async with aclosing(runtime.respond({"input": said, **request})) as events:
            return fold([event async for event in events])

    yield turn
    for container in (await runtime.containers.list()).data:
        await runtime.containers.delete(container.id)
    await runtime.aclose()


def items(response: Response) -> list[dict[str, Any]]:
    output: list[dict[str, Any]] = to_json(response)["output"]
    return output


async def test_a_function_is_the_clients_to_call(upstream: Upstream, turn: Turn) -> None:
    upstream.says(call(0, "weather", {"city": "Bern"}), finish="tool_calls")
    first = await turn("What is the weather?", tools=[FUNCTION])
    assert first.status == "completed"
    (asked,) = items(first)
    assert (asked["type"], asked["name"]) == ("function_call", "weather")
    assert json.loads(asked["arguments"]) == {"city": "Bern"}

    with pytest.raises(InvalidRequest, match=f"No tool output found for function_call {asked['call_id']}"):
        await turn("And?", previous_response_id=first.id)

    upstream.says({"content": "Sunny."})
    answer = {"type": "function_call_output", "call_id": asked["call_id"], "output": "sun"}
    second = await turn([answer], previous_response_id=first.id, tools=[FUNCTION])
    assert second.output_text == "Sunny."
    roles = [message["role"] for message in upstream.requests[-1]["messages"]]
    assert roles == ["user", "assistant", "tool"]


async def test_shell_and_function_in_one_step(upstream: Upstream, turn: Turn) -> None:
    upstream.says(call(0, "shell", {"commands": ["echo done"]}), call(1, "weather", {}), finish="tool_calls")
    response = await turn("Both.", tools=[SHELL, FUNCTION])
    assert response.status == "completed"
    assert [item["type"] for item in items(response)] == ["shell_call", "function_call", "shell_call_output"]
    assert items(response)[2]["output"][0]["stdout"] == "done\n"
    assert len(upstream.requests) == 1  # it is the client's turn now


async def test_a_forced_tool_is_forced_once(upstream: Upstream, turn: Turn) -> None:
    upstream.says(call(0, "shell", {"commands": ["true"]}), finish="tool_calls")
    upstream.says({"content": "Done."})
    response = await turn("Go.", tools=[SHELL], tool_choice="required")
    assert response.output_text == "Done."
    assert upstream.requests[0]["tool_choice"] == "required"
    assert upstream.requests[1].get("tool_choice", "auto") == "auto"


async def test_an_upstream_that_dies_loses_nothing(upstream: Upstream, turn: Turn) -> None:
    upstream.says(call(0, "shell", {"commands": ["echo kept > file; X=7"]}), finish="tool_calls")
    upstream.says({"content": "I have be"}, whole=False)
    broken = await turn("Go.", tools=[SHELL])
    assert broken.status == "failed"
    assert [item["type"] for item in items(broken)] == ["shell_call", "shell_call_output", "message"]
    assert items(broken)[2]["status"] == "incomplete"

    upstream.says(call(0, "shell", {"commands": ["cat file; echo $X"]}, "call_2"), finish="tool_calls")
    upstream.says({"content": "All there."})
    later = await turn("Go on.", previous_response_id=broken.id, tools=[SHELL])
    assert items(later)[1]["output"][0]["stdout"] == "kept\n7\n"
    assert later.output_text == "All there."


async def test_malformed_output_of_a_model_is_said_and_goes_on(upstream: Upstream, turn: Turn) -> None:
    upstream.says(call(0, "shell", {"nonsense": 1}), finish="tool_calls")
    broken = await turn("Go.", tools=[SHELL])
    assert broken.status == "failed"
    assert broken.error is not None
    assert "cannot" in broken.error.message
    upstream.says({"content": "Better."})
    later = await turn("Again.", previous_response_id=broken.id, tools=[SHELL])
    assert later.output_text == "Better."


async def test_half_a_character_is_replaced(upstream: Upstream, turn: Turn) -> None:
    upstream.says({"content": "a\ud83d"}, {"content": "\ude00b"})
    response = await turn("Say \ud800.", metadata={"k": "\udfff"})
    assert response.output_text == "a\ufffd\ufffdb"
    assert response.metadata == {"k": "\ufffd"}
    assert upstream.requests[0]["messages"][-1]["content"] == "Say \ufffd."


async def test_an_answer_cut_at_its_limit_is_incomplete(upstream: Upstream, turn: Turn) -> None:
    upstream.says({"content": "Too lo"}, finish="length")
    response = await turn("Go.", max_output_tokens=3)
    assert response.status == "incomplete"
    assert to_json(response)["incomplete_details"] == {"reason": "max_output_tokens"}
