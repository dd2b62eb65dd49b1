"""One simulated person: talks, runs commands, uploads, steers, interrupts, and thinks in between."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from websockets.asyncio.client import connect

UPLOAD = b"x" * 16384
STEPS = {"talk": 60, "run": 30, "upload": 6, "steer": 2, "interrupt": 2}
"""How many of a hundred steps are of each kind."""

WITH_SANDBOX = 4

TURNS = ("talk", "run")
"""The steps that are turns from beginning to end; their times are the server's own."""

ENDS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled", "error")
SHELL: Any = {"type": "shell", "environment": {"type": "container_auto"}}


class Times:
    """Seconds of each step, by its kind."""

    def __init__(self) -> None:
        self.steps: defaultdict[str, list[float]] = defaultdict(list)
        self.seconds = 0.0
        """How long the phases lasted in which they were taken."""

    def turns(self) -> list[float]:
        """Return the times of whole turns."""
        return [each for kind in TURNS for each in self.steps[kind]]

    def rate(self) -> float:
        """Return how many steps there were in a second."""
        return sum(map(len, self.steps.values())) / self.seconds


class User:
    """A session: each turn continues the one before it; every fourth has a sandbox of its own.

    The others have let theirs expire, and only talk.
    """

    def __init__(self, client: httpx.AsyncClient, number: int, seed: int) -> None:
        self.has_sandbox = number % WITH_SANDBOX == 0
        self._client = client
        self._dice = random.Random(seed * 1_000_003 + number)
        self._last: str | None = None
        self._tools = [SHELL] if self.has_sandbox else []

    async def begin(self) -> None:
        """Begin the session."""
        await self.talk()
        if self.has_sandbox:
            await self.run()

    async def live(self, every: float, times: Times, until: float) -> None:
        """Act until a time of `time.perf_counter`.

        `every`: seconds from the begin of a step to that of the next on the average, so that users who wait
        for an answer make no fewer steps; 0 for no pause. A step that took longer is followed at once.
        """
        due = time.perf_counter() + (self._dice.expovariate(1 / every) if every else 0)
        while max(due, time.perf_counter()) < until:
            await asyncio.sleep(due - time.perf_counter())
            (kind,) = self._dice.choices(list(STEPS), list(STEPS.values()))
            if kind in ("run", "interrupt") and not self.has_sandbox:
                kind = "talk"
            begun = time.perf_counter()
            await getattr(self, kind)()
            times.steps[kind].append(time.perf_counter() - begun)
            if every:
                due += self._dice.expovariate(1 / every)

    async def talk(self) -> None:
        """A turn of text alone."""
        await self._whole("talk")

    async def run(self) -> None:
        """A turn with a command."""
        await self._whole("run")

    async def upload(self) -> None:
        """A file for the next turns."""
        files = {"file": ("data.bin", UPLOAD)}
        answer = await self._client.post("files", files=files, data={"purpose": "user_data"})
        answer.raise_for_status()

    async def interrupt(self) -> None:
        """A command that takes too long, stopped as soon as it runs."""
        stopped = False
        async with self._events("long", background=True) as events:
            response_id = ""
            async for event in events:
                response_id = response_id or event["response"]["id"]
                if not stopped and _runs(event):
                    (await self._client.post(f"responses/{response_id}/cancel")).raise_for_status()
                    stopped = True
        _check(event, "cancelled")

    async def steer(self) -> None:
        """Another course for a turn of talk, while it is under way."""
        url = str(self._client.base_url).replace("http", "ws", 1)
        async with connect(f"{url}responses", max_size=None) as socket:
            await socket.send(json.dumps({"type": "response.create", **self._request("talk")}))
            event = json.loads(await socket.recv())
            steer = {"type": "response.steer", "previous_response_id": event["response"]["id"]}
            await socket.send(json.dumps({**steer, "input": "other course"}))
            while event["type"] not in ("response.completed", "response.failed", "error"):
                event = json.loads(await socket.recv())
        _check(event, "completed")
        self._last = event["response"]["id"]

    async def _whole(self, text: str) -> None:
        async with self._events(text) as events:
            ended = [event async for event in events][-1]
        _check(ended, "completed")
        self._last = ended["response"]["id"]

    def _request(self, text: str, **more: Any) -> dict[str, Any]:
        previous = {"previous_response_id": self._last} if self._last else {}
        return {"input": text, "tools": self._tools, **previous, **more}

    @asynccontextmanager
    async def _events(self, text: str, **more: Any) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        body = self._request(text, stream=True, **more)
        async with self._client.stream("POST", "responses", json=body) as answer:
            if answer.is_error:
                raise RuntimeError(f"A turn was refused: {(await answer.aread()).decode()[-500:]}")
            yield _of_interest(answer)


async def _of_interest(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """Yield the first event of a stream, the items that begin, and the last event."""
    first, wanted = True, False
    async for line in answer.aiter_lines():
        if line.startswith("event: "):
            kind = line[7:]
            wanted = first or kind in ENDS or kind == "response.output_item.added"
        elif wanted and line.startswith("data: "):
            first = wanted = False
            yield json.loads(line[6:])


def _runs(event: dict[str, Any]) -> bool:
    added = event["type"] == "response.output_item.added"
    return added and bool(event["item"]["type"] == "shell_call_output")


def _check(event: dict[str, Any], wanted: str) -> None:
    if event["type"] == "error" or event["response"]["status"] != wanted:
        raise RuntimeError(f"A turn is not {wanted}: {json.dumps(event)[-500:]}")
