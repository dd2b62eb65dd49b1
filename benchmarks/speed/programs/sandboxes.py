"""Sandboxes of a build: starts, commands, uploads, memory. Times are in milliseconds unless they say more."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

from agent_kernel.config import RuntimeSettings
from agent_kernel.sandboxes.base import SandboxSpec
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.pool import WarmPool
from benchmarks.sandboxes.memory import of_sandbox
from benchmarks.speed.programs import either

AT_ONCE = 4
"""How many are being started when many are wanted one after the other."""
PIECE = 1 << 18
_numbers = itertools.count(1)


def _name() -> str:
    return f"speed-{os.getpid()}-{next(_numbers)}"


async def _timed(work: Awaitable[object]) -> float:
    begun = time.perf_counter()
    await work
    return (time.perf_counter() - begun) * 1000


class Sandbox:
    """A sandbox of a backend, and a channel into it."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._ref: Any = None
        self._channel: Any = None

    async def start(self) -> None:
        """Return when a command can be run."""
        self._ref = await self._backend.create(SandboxSpec(_name()))
        self._channel = await Channel.open(await self._backend.stream(self._ref))

    async def run(self, command: str = "/bin/true") -> None:
        """Run a command line to its end."""
        async for _ in self._channel.run(command):
            pass

    async def first(self) -> None:
        """Start, and run a first command."""
        await self.start()
        await self.run()

    async def put(self, source: Path, target: str) -> None:
        """Copy a file of this machine into it."""
        with source.open("rb") as file:
            await self._channel.put(target, _pieces(file))

    def memory(self) -> float:
        """MB of an embedded one, shared pages by share."""
        started = RuntimeSettings().data_path() / "sandboxes" / self._ref.id / "process.json"
        return of_sandbox(int(json.loads(started.read_text())["pid"])) / 1e6

    async def stop(self) -> None:
        """Remove it."""
        if self._channel is not None:
            await self._channel.aclose()
        if self._ref is not None:
            await self._backend.delete(self._ref)
        self._ref = self._channel = None


async def _pieces(file: Any) -> AsyncIterator[bytes]:
    while piece := file.read(PIECE):
        yield piece


class Sandboxes:
    """What can be asked about sandboxes; each method is a question."""

    def __init__(self) -> None:
        self._backends = either.backends()
        self._kept: dict[str, Sandbox] = {}

    async def first(self, backend: str) -> dict[str, float]:
        """From asking for a sandbox to the end of its first command."""
        sandbox = Sandbox(self._backends[backend])
        try:
            return {"ms": await _timed(sandbox.first())}
        finally:
            await sandbox.stop()

    async def pool(self, backend: str, times: int) -> dict[str, list[float]]:
        """The same, from a warm pool, each time."""
        engine, spec = self._backends[backend], SandboxSpec("")
        pool = WarmPool(engine, 2, spec, _name)
        try:
            return {"ms": [await self._take(pool, engine, spec) for _ in range(times)]}
        finally:
            await pool.aclose()

    async def _take(self, pool: WarmPool, engine: Any, spec: SandboxSpec) -> float:
        pool.fill()
        await pool.filled()
        begun = time.perf_counter()
        warm = await pool.take(spec)
        assert warm is not None, "the pool is empty"
        async for _ in warm.channel.run("/bin/true"):
            pass
        spent = (time.perf_counter() - begun) * 1000
        await warm.channel.aclose()
        await engine.delete(warm.ref)
        return spent

    async def crowd(self, count: int) -> dict[str, float]:
        """So many embedded ones: all at once, then so many a second, and MB of each while idle."""
        together = [Sandbox(self._backends["embedded"]) for _ in range(count)]
        try:
            found = {"at_once_ms": await _timed(asyncio.gather(*(each.first() for each in together)))}
            found["memory_mb"] = sum(each.memory() for each in together) / count
        finally:
            await asyncio.gather(*(each.stop() for each in together))
        return found | {"a_second": await self._a_second(count)}

    async def _a_second(self, count: int) -> float:
        starting = asyncio.Semaphore(AT_ONCE)

        async def start(sandbox: Sandbox) -> None:
            async with starting:
                await sandbox.start()

        made = [Sandbox(self._backends["embedded"]) for _ in range(count)]
        try:
            return count / (await _timed(asyncio.gather(*map(start, made)))) * 1000
        finally:
            await asyncio.gather(*(each.stop() for each in made))

    async def warm(self, backend: str, runs: int) -> dict[str, list[float]]:
        """Commands in a sandbox that runs and is kept for the next time."""
        sandbox = await self._keep(backend)
        await sandbox.run()
        return {"ms": [await _timed(sandbox.run()) for _ in range(runs)]}

    async def upload(self, backend: str, source: str) -> dict[str, float]:
        """A file into a sandbox that runs and is kept."""
        sandbox = await self._keep(backend)
        spent = await _timed(sandbox.put(Path(source), "/mnt/data/upload"))
        await sandbox.run("rm /mnt/data/upload")
        return {"seconds": spent / 1000}

    async def _keep(self, backend: str) -> Sandbox:
        if backend not in self._kept:
            self._kept[backend] = Sandbox(self._backends[backend])
            await self._kept[backend].first()
            for _ in range(20):
                await self._kept[backend].run()
        return self._kept[backend]

    async def aclose(self) -> None:
        """Remove the sandboxes that are kept."""
        for sandbox in self._kept.values():
            await sandbox.stop()
        for backend in self._backends.values():
            await backend.aclose()
