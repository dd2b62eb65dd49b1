"""What the chaos test is made of: an upstream, clients that remember what they were told, servers to kill.

The upstream gives every command a token of its own, which the command appends to a file of its container: a
command that ran twice is seen there. It and the clients also tell at which stage their turns are, so that a
kill can be aimed at one.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import httpx2
import openai
from openai import AsyncOpenAI

from tests.forked import Forked, serve

SHELL: Any = {"type": "shell", "environment": {"type": "container_auto"}}
TOKENS = "/mnt/data/tokens"
LOST = (openai.APIConnectionError, httpx2.HTTPError)
"""What a client is told when its server dies. Any other error fails the test."""

ENDED = ("completed", "incomplete")
KEPT_BY = 12
"""Turns after which a client begins a chain of its own anew, with a new container."""

Stage = Literal["asked", "streaming", "answered", "created", "running", "item", "ended", "any"]
STAGES: tuple[Stage, ...] = ("asked", "streaming", "answered", "created", "running", "item", "ended", "any")
Mode = Literal["stream", "plain", "background", "queued", "conversation"]
MODES: tuple[Mode, ...] = ("stream", "plain", "background", "queued", "conversation")


class Stages:
    """Where a kill is aimed at, and how many turns began."""

    def __init__(self) -> None:
        self.turns = 0
        self.reached = Counter[Stage]()
        self._aim: Stage | None = None
        self._hit = asyncio.Event()
        self._changed = asyncio.Event()

    def at(self, stage: Stage) -> None:
        """A turn is at this stage now."""
        self.reached[stage] += 1
        if stage == "asked":
            self._changed.set()
        if stage == self._aim:
            self._hit.set()

    async def until(self, stage: Stage) -> None:
        """Wait until some turn is at this stage."""
        self._aim, self._hit = stage, asyncio.Event()
        if stage != "any":
            await self._hit.wait()

    async def until_turns(self, count: int) -> None:
        """Wait until so many turns have begun, of all servers together."""
        while self.turns < count:
            self._changed.clear()
            await self._changed.wait()


class Upstream:
    """Chat Completions: a turn is so many calls of the shell, as its user says, and then a few words."""

    def __init__(self, stages: Stages, dice: random.Random) -> None:
        self._stages = stages
        self._dice = dice
        self.issued: set[str] = set()
        self.url = ""
        self.hold_at: int | None = None
        """Which request is kept waiting until `goes_on`; `holding` says that it is."""
        self.holding, self.goes_on = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Upstream]:
        """Listen on a free port of loopback."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.split("content-length: ")[1].split("\r\n")[0])
            messages = json.loads(await reader.readexactly(length))["messages"]
            self._stages.at("asked")
            if self._stages.reached["asked"] == self.hold_at:
                self.holding.set()
                await self.goes_on.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
            for chunk in self._answer(messages):
                writer.write(chunk)
                await writer.drain()
                self._stages.at("streaming")
                await asyncio.sleep(0.002)
            writer.write(b"data: [DONE]\n\n")
            await writer.drain()
            self._stages.at("answered")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # its server was killed
        finally:
            writer.close()

    def _answer(self, messages: list[dict[str, Any]]) -> Iterator[bytes]:
        asked = max(n for n, message in enumerate(messages) if message["role"] == "user")
        calls_due = int(messages[asked]["content"].split()[-1])
        calls_made = sum(bool(message.get("tool_calls")) for message in messages[asked:])
        if calls_made < calls_due:
            yield from self._calls()
            return
        yield _chunk({"role": "assistant", "content": "These "})
        for word in ("are ", "the ", "last ", "words."):
            yield _chunk({"content": word})
        yield _chunk({}, "stop")

    def _calls(self) -> Iterator[bytes]:
        for index in range(self._dice.choice((1, 1, 2))):
            arguments = json.dumps(
                {"commands": [self._command() for _ in range(self._dice.choice((1, 2, 3)))]}
            )
            call_id = f"call_{uuid.uuid4().hex}"
            middle = len(arguments) // 2
            yield _call(index, arguments[:middle], id=call_id, type="function", name="shell")
            yield _call(index, arguments[middle:])
        yield _chunk({}, "tool_calls")

    def _command(self) -> str:
        token = uuid.UUID(int=self._dice.getrandbits(128)).hex
        self.issued.add(token)
        pause = self._dice.choice(("", "", "; sleep 0.02"))
        return f"echo {token} >> {TOKENS}{pause}; echo {token}"


def _chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _call(index: int, arguments: str, name: str | None = None, **fields: Any) -> bytes:
    function = {"arguments": arguments} | ({"name": name} if name else {})
    return _chunk({"tool_calls": [{"index": index, "function": function, **fields}]})


class Process:
    """`agent-kernel serve`, to be killed."""

    def __init__(self, process: Forked, url: str) -> None:
        self._process = process
        self.port = int(url.split(":")[2].split("/")[0])
        self.client = AsyncOpenAI(base_url=url, api_key="x", max_retries=0, timeout=60)

    async def end(self, signal_: int = signal.SIGKILL) -> None:
        """Send it a signal, and wait for its end. Idempotent."""
        self._process.send_signal(signal_)
        await asyncio.to_thread(self._process.wait)
        await self.client.close()


class Spawner:
    """Starts servers that share a store; what they log goes to one file."""

    def __init__(self, environment: dict[str, str], log: Path, flags: tuple[str, ...]) -> None:
        self._environment = environment
        self._log = log
        self._flags = flags
        self._started: list[Process] = []

    @classmethod
    @asynccontextmanager
    async def ready(cls, environment: dict[str, str], log: Path, *flags: str) -> AsyncIterator[Spawner]:
        """Yield what starts the servers; at the end all servers are ended."""
        spawner = cls(environment, log, flags)
        try:
            yield spawner
        finally:
            for process in spawner._started:
                await process.end()

    async def start(self) -> Process:
        """Start a server and wait until it serves."""
        with self._log.open("ab") as stderr:
            begin = partial(serve, *self._flags, environment=self._environment, stderr=stderr.fileno())
            self._started.append(Process(*await asyncio.to_thread(begin)))
        return self._started[-1]


@dataclass
class Told:
    """What a client was told of one response."""

    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Items that were said to be done, by their ids."""
    last_number: int = -1
    status: str | None = None
    text: str | None = None
    conversation: str | None = None
    container: str | None = None


class Client:
    """Runs turns of one mode, one after the other, until its server is gone; goes on with the next server."""

    def __init__(self, mode: Mode, stages: Stages, dice: random.Random) -> None:
        self.mode = mode
        self.told: dict[str, Told] = {}
        self.conversations: list[str] = []
        self._stages = stages
        self._dice = dice
        self._previous: str | None = None
        self._following: str | None = None
        self._turns = 0

    async def live(self, client: AsyncOpenAI) -> None:
        """Run turns for as long as the server answers."""
        try:
            while True:
                await self.go_on(client)
        except LOST:
            return

    async def go_on(self, client: AsyncOpenAI) -> None:
        """One turn more, after the background response whose stream broke off, if there is one."""
        if self._following is not None:
            await self._follow(client, self._following)
        await self._turn(client)

    async def _turn(self, client: AsyncOpenAI) -> None:
        self._turns += 1
        if self._turns % KEPT_BY == 1:
            self._previous = None
            if self.mode == "conversation":
                self.conversations.append((await client.conversations.create()).id)
        request: dict[str, Any] = {"input": f"Calls: {self._dice.choice((0, 1, 1, 2))}", "tools": [SHELL]}
        if self.mode == "conversation":
            request["conversation"] = self.conversations[-1]
        elif self._previous is not None:
            request["previous_response_id"] = self._previous
        self._stages.turns += 1
        if self.mode == "plain":
            self._whole(await client.responses.create(**request))
        elif self.mode == "queued":
            queued = await client.responses.create(**request, background=True)
            self._begun(queued)
            self._following = queued.id
            await self._follow(client, queued.id)
        else:
            background = self.mode == "background"
            stream = await client.responses.create(**request, stream=True, background=background)
            await self._read(stream, self.conversations[-1] if self.conversations else None)

    async def _follow(self, client: AsyncOpenAI, response_id: str) -> None:
        after = self.told[response_id].last_number
        await self._read(await client.responses.retrieve(response_id, stream=True, starting_after=after))

    async def _read(self, stream: Any, conversation: str | None = None) -> None:
        async for event in stream:
            if event.type == "response.created":
                self._begun(event.response, conversation)
                if self.mode == "background":
                    self._following = event.response.id
            assert self._previous is not None
            told = self.told[self._previous]
            assert event.sequence_number == told.last_number + 1, "an event is missing or comes twice"
            told.last_number = event.sequence_number
            self._take(told, event)

    def _take(self, told: Told, event: Any) -> None:
        if event.type == "response.output_item.done":
            told.items[event.item.id] = event.item.to_dict()
            self._stages.at("item")
        elif event.type == "response.output_item.added" and event.item.type == "shell_call_output":
            self._stages.at("running")
        elif event.type in ("response.completed", "response.incomplete", "response.failed"):
            told.status, told.text = event.response.status, event.response.output_text
            assert told.status in ENDED, event.response.error
            self._following = None
            self._stages.at("ended")

    def _begun(self, response: Any, conversation: str | None = None) -> None:
        if response.id not in self.told:
            container = response.tools[0].environment.container_id
            self.told[response.id] = Told(conversation=conversation, container=container)
            self._previous = response.id
            self._stages.at("created")

    def _whole(self, response: Any) -> None:
        self._begun(response)
        told = self.told[response.id]
        told.items = {item.id: item.to_dict() for item in response.output}
        told.status, told.text = response.status, response.output_text
        self._stages.at("ended")
