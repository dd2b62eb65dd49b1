"""Answers that never end, in both dialects: what a reader holds back or drops counts toward the limit too."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from agent_kernel.errors import UpstreamInterrupted
from agent_kernel.models.base import MAX_STEP_TOKENS
from agent_kernel.models.chat import ChatModel
from agent_kernel.models.responses import ResponsesModel
from agent_kernel.models.retry import RetryPolicy
from agent_kernel.models.upstream import Upstream
from agent_kernel.protocol.calls import CallDelta, CallDone
from agent_kernel.protocol.deltas import ModelDelta, TextDelta, Truncated
from agent_kernel.tools.client import CLIENT_FUNCTION
from tests.tools.made import model_request

USER = {"role": "user", "content": "Hi"}
LIMIT = 300
PIECE = "and so on "
Json = dict[str, Any]
Event = Callable[[int], Json]


def chunk(**delta: Any) -> Json:
    return {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def chat_call(index: int, name: str, number: int) -> Json:
    first = {"id": f"call_{index}", "type": "function"} if number == 0 else {}
    function = {"arguments": PIECE, **({"name": name} if number == 0 else {})}
    return chunk(tool_calls=[{"index": index, **first, "function": function}])


def second_call(number: int) -> Json:
    return chat_call(0, "shell", 0) if number == 0 else chat_call(1, "shell", number - 1)


CHAT: dict[str, Event] = {
    "function of the client": lambda number: chat_call(0, "plot", number),
    "tool that is not offered": lambda number: chat_call(0, "invented", number),
    "second parallel call": second_call,
    "text behind a call": lambda n: chat_call(0, "shell", 0) if n == 0 else chunk(content=PIECE),
    "empty chunks": lambda number: chunk(),
    "chunks without choices": lambda number: {"id": "c", "choices": []},
}


def added(index: int, name: str) -> Json:
    item = {"type": "function_call", "id": f"fc_{index}", "call_id": f"call_{index}", "name": name}
    return {"type": "response.output_item.added", "output_index": index, "item": {**item, "arguments": ""}}


def written(index: int, piece: str = PIECE) -> Json:
    return {"type": "response.function_call_arguments.delta", "output_index": index, "delta": piece}


def parallel(number: int) -> Json:
    return [added(0, "plot"), written(0), added(1, "plot")][number] if number < 3 else written(1)


RESPONSES: dict[str, Event] = {
    "second parallel call": parallel,
    "call that was not announced": lambda number: written(0),
    "events of an unknown type": lambda number: {"type": "response.dreams.delta", "delta": PIECE},
    "empty deltas": lambda number: added(0, "plot") if number == 0 else written(0, ""),
}
ALL = [(ChatModel, CHAT[name]) for name in CHAT] + [(ResponsesModel, RESPONSES[name]) for name in RESPONSES]
NAMES = [f"chat, {name}" for name in CHAT] + [f"responses, {name}" for name in RESPONSES]


class Endless:
    """Sends one event after the other until the client leaves."""

    def __init__(self, event: Callable[[int], bytes]) -> None:
        self.event = event
        self.sent = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
        sending = writer.get_extra_info("socket")
        # Otherwise megabytes would wait there to be read.
        sending.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        try:
            while True:
                writer.write(self.event(self.sent))
                self.sent += 1
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


async def read(
    kind: type[ChatModel] | type[ResponsesModel],
    event: Callable[[int], bytes],
    limit: int | None = None,
    most_bytes: int = 10_000_000,
) -> list[ModelDelta]:
    endless = Endless(event)
    server = await asyncio.start_server(endless.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    upstream = Upstream(url, None, retry=RetryPolicy(0), most_bytes=most_bytes)
    model = ChatModel(upstream) if kind is ChatModel else ResponsesModel(upstream, native=False)
    request = model_request("m", [USER], functions=[{"name": "plot"}], max_characters=limit)
    try:
        async with asyncio.timeout(60), server:
            return [delta async for delta in model.stream(request)]
    finally:
        await model.aclose()


def line(event: Event) -> Callable[[int], bytes]:
    return lambda number: f"data: {json.dumps(event(number))}\n\n".encode()


@pytest.mark.parametrize(("kind", "event"), ALL, ids=NAMES)
async def test_answer_without_end_is_stopped(kind: Any, event: Event) -> None:
    deltas = await read(kind, line(event), LIMIT)
    assert deltas[-1] == Truncated(MAX_STEP_TOKENS)
    out = sum(len(each.text) for each in deltas if isinstance(each, CallDelta | TextDelta))
    assert out <= LIMIT + 3 * len(PIECE)
    assert not [each for each in deltas if isinstance(each, CallDone)]


@pytest.mark.parametrize("kind", [ChatModel, ResponsesModel])
async def test_client_keeps_the_start_of_a_stopped_call(kind: Any) -> None:
    event = CHAT["function of the client"] if kind is ChatModel else parallel
    deltas = await read(kind, line(event), LIMIT)
    pieces = [each.text for each in deltas if isinstance(each, CallDelta) and each.tool is CLIENT_FUNCTION]
    assert LIMIT < len("".join(pieces)) <= LIMIT + 3 * len(PIECE)


@pytest.mark.parametrize("kind", [ChatModel, ResponsesModel])
@pytest.mark.parametrize(
    "event",
    [
        lambda number: b"data: " + b"x" * 1000 if number == 0 else b"x" * 1000,
        lambda number: b": busy\n\n" * 100,
        line(CHAT["empty chunks"]),
    ],
    ids=["one line", "comments", "events"],
)
async def test_bytes_of_an_answer_are_limited(kind: Any, event: Callable[[int], bytes]) -> None:
    with pytest.raises(UpstreamInterrupted, match="50,000 bytes"):
        await read(kind, event, most_bytes=50_000)


@pytest.fixture
async def chat(upstream: Any) -> AsyncIterator[ChatModel]:
    model = ChatModel(Upstream(upstream.url, None))
    yield model
    await model.aclose()


async def test_answer_that_ends_over_the_limit_is_whole(chat: ChatModel, upstream: Any) -> None:
    long = json.dumps({"x": "y" * 2 * LIMIT})
    function = {"name": "plot", "arguments": long}
    upstream.chats({"tool_calls": [{"index": 0, "id": "a", "function": function}]}, finish="tool_calls")
    request = model_request("m", [USER], functions=[{"name": "plot"}], max_characters=LIMIT)
    deltas = [delta async for delta in chat.stream(request)]
    assert not [each for each in deltas if isinstance(each, Truncated)]
    assert "".join(each.text for each in deltas if isinstance(each, CallDelta)) == long
