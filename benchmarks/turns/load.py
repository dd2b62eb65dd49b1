"""Many plain text turns at once, over HTTP, as any client would ask for them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import httpx

from benchmarks.turns.servers import Served

AT_ONCE = 50
ROUNDS = 4


@dataclass(frozen=True)
class Load:
    """What a server made of it."""

    name: str
    a_second: float
    p95: float
    """Milliseconds, of a turn."""
    memory: float
    """MB, at most."""


async def at_once(server: Served) -> Load:
    """Rounds of so many streamed turns that all begin together; a round before them warms it up."""
    times: list[float] = []
    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    async with httpx.AsyncClient(base_url=server.url, limits=limits, timeout=120) as client:
        await asyncio.gather(*(_turn(client, server) for _ in range(AT_ONCE)))
        begun = time.perf_counter()
        for _ in range(ROUNDS):
            times += await asyncio.gather(*(_turn(client, server) for _ in range(AT_ONCE)))
        seconds = time.perf_counter() - begun
    times.sort()
    return Load(server.name, len(times) / seconds, times[int(len(times) * 0.95)] * 1000, server.memory())


async def _turn(client: httpx.AsyncClient, server: Served) -> float:
    begun, answer = time.perf_counter(), b""
    body = {"model": server.model, "input": "talk", "stream": True}
    async with client.stream("POST", "responses", json=body) as response:
        response.raise_for_status()
        async for chunk in response.aiter_raw():
            answer += chunk
    if b'"response.completed"' not in answer:
        raise RuntimeError(f"{server.name} did not complete a turn: {answer[-300:]!r}")
    return time.perf_counter() - begun
