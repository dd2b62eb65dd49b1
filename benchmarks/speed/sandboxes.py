"""Sandboxes of both builds: starts, commands, uploads; what nothing can beat stands beside."""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from benchmarks.sandboxes.contenders import Contender, DockerCli, program
from benchmarks.sandboxes.floors import BarePipe, BarePipeInDocker, DockerRun, KeptShell, RelayedPipe
from benchmarks.speed.bench import Bench, Figures
from benchmarks.speed.programs.sandboxes import AT_ONCE
from benchmarks.speed.residents import Resident, resident

EMPTY = ("bwrap", "--unshare-all", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--")
"""Bubblewrap that shuts nothing off but namespaces, and sees the whole machine: its own time alone."""
INTERPRETER = (*EMPTY, sys.executable, "-I", "-S", "-c", "pass")

Residents = Mapping[str, Resident]


@asynccontextmanager
async def both(bench: Bench) -> AsyncIterator[Residents]:
    """A resident of each build."""
    async with AsyncExitStack() as stack:
        yield {
            build.name: await stack.enter_async_context(resident(build, bench.folder))
            for build in (bench.before, bench.now)
        }


async def milliseconds(work: Awaitable[object]) -> float:
    """How long it takes."""
    begun = time.perf_counter()
    await work
    return (time.perf_counter() - begun) * 1000


async def starts(bench: Bench) -> AsyncIterator[Figures]:
    """Milliseconds to the end of a first command: cold, from the pool, as a copy; many at once."""
    async with both(bench) as asked:
        for name in asked:
            for backend in ("embedded", "embedded", "docker"):
                await asked[name].ask("first", backend=backend)
        await asked["now"].ask("fork")
        for number in range(bench.sizes.rounds):
            figures = await _cold(bench, asked, number)
            for name in bench.in_order(number):
                crowd = await asked[name].ask("crowd", count=bench.sizes.crowd)
                figures |= {f"{name} {figure}": value for figure, value in crowd.items()}
            figures |= await _empty_crowd(bench.sizes.crowd)
            for backend in ("embedded", "docker"):
                taken = await asked["now"].ask("pool", backend=backend, times=bench.sizes.starts)
                figures[f"now pool {backend} ms"] = statistics.median(taken["ms"])
            copies = [(await asked["now"].ask("fork"))["ms"] for _ in range(bench.sizes.starts)]
            figures["now fork ms"] = statistics.median(copies)
            yield figures


async def _cold(bench: Bench, asked: Residents, number: int) -> Figures:
    """One after the other, in turn."""
    found: dict[str, list[float]] = {}
    for attempt in range(bench.sizes.starts):
        for backend in ("embedded", "docker"):
            for name in bench.in_order(number + attempt):
                spent = await asked[name].ask("first", backend=backend)
                found.setdefault(f"{name} first {backend} ms", []).append(spent["ms"])
        floors = {
            "empty bwrap ms": program(*EMPTY, "/bin/true"),
            "empty bwrap with Python ms": program(*INTERPRETER),
            "docker run ms": DockerRun("docker run", "--network", "none").run("/bin/true"),
        }
        for name, work in floors.items():
            found.setdefault(name, []).append(await milliseconds(work))
    return {name: statistics.median(times) for name, times in found.items()}


async def _empty_crowd(count: int) -> Figures:
    """Empty ones with a bare Python, which end at once: all together, and so many a second."""
    starting = asyncio.Semaphore(AT_ONCE)

    async def start() -> None:
        async with starting:
            await program(*INTERPRETER)

    together = await milliseconds(asyncio.gather(*(program(*INTERPRETER) for _ in range(count))))
    in_turn = await milliseconds(asyncio.gather(*(start() for _ in range(count))))
    return {"empty at_once_ms": together, "empty a_second": count / in_turn * 1000}


async def commands(bench: Bench) -> AsyncIterator[Figures]:
    """Milliseconds of a command: in a bash alone, warm in sandboxes, and in a turn over the sandbox."""
    pipes: dict[str, Contender] = {
        "bare pipe": BarePipe(),
        "relayed pipe": RelayedPipe(),
        "kept shell": KeptShell(),
        "bare pipe in Docker": BarePipeInDocker(),
    }
    try:
        async with both(bench) as asked:
            for pipe in pipes.values():
                await pipe.start()
            for name in asked:
                await asked[name].ask("command")
            for number in range(bench.sizes.rounds):
                figures: Figures = {}
                for words, pipe in pipes.items():
                    figures[f"{words} ms"] = statistics.median(await _times(pipe, bench.sizes.commands))
                for name in bench.in_order(number):
                    figures |= await _warm(asked[name], name, bench.sizes.commands)
                    told = await asked[name].ask("command")
                    figures[f"{name} command in a turn adds ms"] = told["inside_ms"] - told["straight_ms"]
                yield figures
    finally:
        for pipe in pipes.values():
            await pipe.stop()
            await pipe.aclose()


async def _times(pipe: Contender, count: int) -> list[float]:
    return [await milliseconds(pipe.run("/bin/true")) for _ in range(count)]


async def _warm(asked: Resident, name: str, count: int) -> Figures:
    figures: Figures = {}
    for backend in ("embedded", "docker"):
        times = sorted((await asked.ask("warm", backend=backend, runs=count))["ms"])
        figures[f"{name} warm {backend} ms"] = statistics.median(times)
        figures[f"{name} warm {backend} p95 ms"] = times[int(count * 0.95)]
    return figures


async def uploads(bench: Bench) -> AsyncIterator[Figures]:
    """Seconds of a large file into a sandbox, beside `docker cp` and `cp`."""
    source = bench.folder / "upload"
    await asyncio.to_thread(_write, source, bench.sizes.upload)
    container = DockerCli()
    try:
        async with both(bench) as asked:
            await container.start()
            for number in range(bench.sizes.uploads):
                figures: Figures = {}
                for backend in ("embedded", "docker"):
                    for name in bench.in_order(number):
                        told = await asked[name].ask("upload", backend=backend, source=str(source))
                        figures[f"{name} upload {backend} s"] = told["seconds"]
                figures |= await _copies(bench, container, source)
                yield figures
    finally:
        await container.stop()
        source.unlink()


async def _copies(bench: Bench, container: DockerCli, source: Path) -> Figures:
    target = bench.folder / "copy"
    copies: dict[str, Callable[[], Awaitable[object]]] = {
        "docker cp s": lambda: container.upload(source, "/mnt/data/upload"),
        "cp s": lambda: program("cp", str(source), str(target)),
    }
    figures = {name: await milliseconds(copy()) / 1000 for name, copy in copies.items()}
    await container.run("rm /mnt/data/upload")
    target.unlink()
    return figures


def _write(path: Path, size: int) -> None:
    """A file without holes that does not compress."""
    with path.open("wb") as file:
        while (left := size - file.tell()) > 0:
            file.write(os.urandom(min(left, 1 << 24)))
