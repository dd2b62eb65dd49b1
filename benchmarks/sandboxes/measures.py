"""What is measured, one function each: a contender goes in, figures by name come out."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent_kernel.sandboxes.base import WORKSPACE
from benchmarks.sandboxes.contenders import CHANGE, Contender

WARM_UP = 10


@dataclass(frozen=True)
class Sizes:
    """How much of everything; sizes in bytes."""

    runs: int = 200
    starts: int = 7
    output: int = 512 << 20
    upload: int = 1_000_000_000
    checkpoints: int = 5
    crowd: int = 50


QUICK = Sizes(runs=20, starts=2, output=16 << 20, upload=16_000_000, checkpoints=1, crowd=3)

Figures = dict[str, float]
Measure = Callable[[Contender, Sizes, Path], Awaitable[Figures]]


async def timed(work: Awaitable[object]) -> float:
    """How long it takes, in milliseconds."""
    start = time.perf_counter()
    await work
    return (time.perf_counter() - start) * 1000


async def warm(contender: Contender, sizes: Sizes, folder: Path) -> Figures:
    """A command in a sandbox that runs: the median, in ms."""
    async with contender.running():
        for _ in range(WARM_UP):
            await contender.run("/bin/true")
        return {
            "warm": statistics.median([await timed(contender.run("/bin/true")) for _ in range(sizes.runs)])
        }


async def first(contender: Contender, sizes: Sizes, folder: Path) -> Figures:
    """From nothing to the end of a first command: the median, in ms."""
    durations = []
    for _ in range(sizes.starts + 1):
        try:
            durations.append(await timed(_start_and_run(contender)))
        finally:
            await contender.stop()
    return {"first": statistics.median(durations[1:])}


async def _start_and_run(contender: Contender, snapshot: str | None = None) -> None:
    await contender.start(snapshot)
    await contender.run("/bin/true")


async def output(contender: Contender, sizes: Sizes, folder: Path) -> Figures:
    """Output received per second, in MB; the best of three, the machine has other things to do."""
    async with contender.running():
        await contender.print_bytes(1 << 20)
        spent = min([await timed(contender.print_bytes(sizes.output)) for _ in range(3)])
    return {"output": sizes.output / 1e6 / (spent / 1000)}


async def upload(contender: Contender, sizes: Sizes, folder: Path) -> Figures:
    """A large file, in seconds: the best of two."""
    source = folder / "upload"
    async with contender.running():
        spent = min([await timed(contender.upload(source, f"{WORKSPACE}/{name}")) for name in "ab"])
    return {"upload": spent / 1000}


async def checkpoint(contender: Contender, sizes: Sizes, folder: Path) -> Figures:
    """A checkpoint of a small change, and from there to the end of a first command: medians, in ms."""
    taken, restored = [], []
    for _ in range(sizes.checkpoints):
        async with contender.running():
            await contender.run(CHANGE)
            start = time.perf_counter()
            snapshot = await contender.checkpoint()
            taken.append((time.perf_counter() - start) * 1000)
        try:
            restored.append(await timed(_start_and_run(contender, snapshot)))
            await contender.run(f"test -s {WORKSPACE}/change")
        finally:
            await contender.stop()
            await contender.drop(snapshot)
    return {"checkpoint": statistics.median(taken), "restore": statistics.median(restored)}


async def crowd(contenders: Sequence[Contender], commands: int) -> Figures:
    """Many sandboxes at once: MB of memory each, and the 95th percentile of a command in ms.

    `in turn`: one command at a time, the other sandboxes idle. `together`: every sandbox runs commands.
    """
    starting = asyncio.Semaphore(4)

    async def start(contender: Contender) -> None:
        async with starting:
            await _start_and_run(contender)

    async def several(contender: Contender) -> list[float]:
        return [await timed(contender.run("/bin/true")) for _ in range(commands)]

    try:
        await asyncio.gather(*map(start, contenders))
        memory = [_memory(await contender.process()) for contender in contenders]
        in_turn = [await timed(each.run("/bin/true")) for _ in range(commands) for each in contenders]
        together = [each for found in await asyncio.gather(*map(several, contenders)) for each in found]
    finally:
        await asyncio.gather(*(contender.stop() for contender in contenders), return_exceptions=True)
    return {
        "memory": statistics.mean(memory) / 1e6,
        "in turn": percentile(in_turn, 95),
        "together": percentile(together, 95),
    }


def percentile(values: Sequence[float], rank: int) -> float:
    """The value that `rank` percent of them do not exceed."""
    return sorted(values)[max(0, -(-len(values) * rank // 100) - 1)]


def _memory(root: int) -> int:
    """Bytes (shared pages by share) of a sandbox: its process 1, all below, and what holds it on the host."""
    parent = int(_fields(root)[1])
    return sum(_proportional(pid) for pid in ([parent] if parent > 1 else []) + [root, *_descendants(root)])


def _fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _descendants(pid: int) -> list[int]:
    children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [each for child in children for each in (child, *_descendants(child))]


def _proportional(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


MEASURES: dict[str, Measure] = {
    "warm": warm,
    "first": first,
    "output": output,
    "upload": upload,
    "checkpoint": checkpoint,
}
