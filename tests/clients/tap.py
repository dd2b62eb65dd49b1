"""A tap on the line between a client and a server: passes every byte on, and keeps a copy.

Whatever a client makes of a stream, the tap has what was really sent; `check` holds it against the SDK's
types, field by field.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, get_args
from urllib.parse import urlsplit

import h11
from openai import BaseModel
from openai.types.responses import ResponseStreamEvent

Json = dict[str, Any]

LAST = frozenset({"response.completed", "response.incomplete", "response.failed"})


@dataclass
class Line:
    """One connection: what went up and what came down."""

    up: bytearray = field(default_factory=bytearray)
    down: bytearray = field(default_factory=bytearray)


@dataclass
class Exchange:
    """One request with its answer; `body` and `answer` without transfer encoding."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int
    content_type: str
    answer: bytes
    whole: bool
    """Whether the answer came to its end; a client that has heard enough may leave."""

    @property
    def json(self) -> Json:
        """The request's body."""
        return dict(json.loads(self.body))

    @property
    def events(self) -> list[Json]:
        """The answer's events, every one named like its data."""
        events: list[Json] = []
        *blocks, rest = self.answer.decode(errors="strict" if self.whole else "replace").split("\n\n")
        assert not (self.whole and rest)
        for block in blocks:
            lines = [line for line in block.split("\n") if line and not line.startswith(":")]
            if not lines:
                continue
            name, data = lines
            events.append(json.loads(data.removeprefix("data: ")))
            assert name == f"event: {events[-1]['type']}"
        return events


class Tap:
    """Listens on loopback, in a thread of its own, in front of the server at `url`. Use as a context."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._lines: list[Line] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self.url = ""

    def __enter__(self) -> Tap:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}{self._target.path}"
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._pass_on(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line()
        self._lines.append(line)
        there, back = await asyncio.open_connection(self._target.hostname, self._target.port)
        try:
            await asyncio.gather(_copy(reader, back, line.up), _copy(there, writer, line.down))
        finally:
            back.close()
            writer.close()

    def exchanges(self) -> list[Exchange]:
        """All requests that were answered so far."""
        return [exchange for line in list(self._lines) for exchange in _exchanges(line)]

    def turns(self) -> list[Exchange]:
        """Those that asked for a response."""
        return [x for x in self.exchanges() if x.method == "POST" and x.path.endswith("/responses")]

    def check(self) -> list[list[Json]]:
        """Hold every stream so far against the SDK's types and the order of events; return them."""
        streams = [x for x in self.exchanges() if x.content_type == "text/event-stream"]
        for stream in streams:
            if stream.method == "GET":
                check_part(stream.events)
            else:
                check_stream(stream.events, whole=stream.whole)
        return [stream.events for stream in streams]


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter, kept: bytearray) -> None:
    try:
        while data := await source.read(1 << 16):
            kept += data
            target.write(data)
            await target.drain()
        target.write_eof()
    except OSError:
        target.close()  # one side left; the other is told


def _exchanges(line: Line) -> Iterator[Exchange]:
    if line.down.startswith(b"HTTP/1.1 101 "):
        return  # a WebSocket
    server, client = h11.Connection(h11.SERVER), h11.Connection(h11.CLIENT)
    server.receive_data(bytes(line.up))
    client.receive_data(bytes(line.down))
    while isinstance(request := server.next_event(), h11.Request):
        body = _body(server)
        client.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
        client.send(h11.EndOfMessage())
        while isinstance(response := client.next_event(), h11.InformationalResponse):
            pass
        if not isinstance(response, h11.Response):
            return  # not answered yet
        types = [value for name, value in response.headers if name == b"content-type"]
        answer = _body(client)
        yield Exchange(
            method=request.method.decode(),
            path=request.target.decode(),
            headers={name.decode(): value.decode() for name, value in request.headers},
            body=body,
            status=response.status_code,
            content_type=types[0].decode().partition(";")[0] if types else "",
            answer=answer,
            whole=client.their_state is h11.DONE,
        )
        if client.their_state is not h11.DONE:
            return
        server.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
        server.send(h11.EndOfMessage())
        if server.our_state is not h11.DONE or client.our_state is not h11.DONE:
            return
        server.start_next_cycle()
        client.start_next_cycle()


def _body(connection: h11.Connection) -> bytes:
    body = bytearray()
    while isinstance(event := connection.next_event(), h11.Data):
        body += event.data
    return bytes(body)


@cache
def _event_types() -> dict[str, type[BaseModel]]:
    union = get_args(get_args(ResponseStreamEvent)[0])
    return {get_args(cls.model_fields["type"].annotation)[0]: cls for cls in union}


def check_event(event: Json) -> None:
    """Hold one event against its type in the SDK. Raises `pydantic.ValidationError`, or `KeyError`."""
    if event["type"].startswith("response.apply_patch_call_operation_diff."):  # the SDK has no type for it
        assert {"item_id", "output_index", "sequence_number"} < set(event)
        return
    if event["type"] == "response.output_item.added" and event["item"]["type"] == "web_search_call":
        assert set(event["item"]) == {"id", "type", "status"}  # the API sends no action, the type needs one
        return
    _event_types()[event["type"]].model_validate_json(json.dumps(event), strict=True)


def check_part(events: list[Json]) -> None:
    """A stream that was taken up on its way: every event by its type, numbers without a gap."""
    for event in events:
        check_event(event)
    numbers = [event["sequence_number"] for event in events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def check_stream(events: list[Json], *, whole: bool = True) -> None:
    """Every event by its type; numbers without a gap; items opened before they are filled, and closed."""
    if not whole and not events:
        return
    for event in events:
        check_event(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[0]["type"] == "response.created"
    assert not whole or events[-1]["type"] in LAST
    assert {event["type"] for event in events[:-1]}.isdisjoint(LAST)
    assert len({event["response"]["id"] for event in events if "response" in event}) == 1
    opened: dict[int, str] = {}
    closed: dict[int, Json] = {}
    for event in events:
        if "output_index" not in event:
            continue
        index: int = event["output_index"]
        if event["type"] == "response.output_item.added":
            assert index == len(opened)
            opened[index] = event["item"]["id"]
            continue
        assert index in opened
        assert index not in closed
        assert event.get("item_id", opened[index]) == opened[index]
        if event["type"] == "response.output_item.done":
            assert event["item"]["id"] == opened[index]
            closed[index] = event["item"]
    if events[-1]["type"] not in LAST:
        return
    assert sorted(closed) == sorted(opened)
    assert events[-1]["response"]["output"] == [closed[index] for index in sorted(closed)]
