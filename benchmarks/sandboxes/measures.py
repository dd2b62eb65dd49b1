"""What is measured, one function each: a contender goes in, figures by name come out."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent_kernel.sandboxes.base import WORKSPACE
from benchmarks.sandboxes.contenders import CHANGE, Contender
from benchmarks.sandboxes.memory import of_sandbox

WARM_UP = 10


@dataclass(frozen=True)
class Sizes:
    """How much of everything; sizes in bytes."""

    runs: int = 200
    starts: int = 7
    output: int = 256 << 20
    upload: int = 1_000_000_000
    checkpoints: int = 5
    crowd: int = 50


QUICK = Sizes(runs=20, starts=2, output=16 << 20, upload=16_000_000, checkpoints=1, crowd=3)

Figures = dict[str, float]


async def timed(work: Awaitable[object]) -> float:
    """How long it takes, in milliseconds."""
    start = time.perf_counter()
    await work
    return (time.perf_counter() - start) * 1000


class Measure:
    """One thing to measure, in rounds: the contenders take turns, so that a busy moment hits all of them."""

    def __init__(self, sizes: Sizes, folder: Path) -> None:
        self.sizes = sizes
        self.folder = folder

    rounds = 5

    async def begin(self, contender: Contender) -> None:
        """Before the first round; `stop` of the contender is called at the end, whatever happens."""

    async def sample(self, contender: Contender) -> dict[str, list[float]]:
        """One round: what was found, by figure."""
        raise NotImplementedError

    def figures(self, samples: Mapping[str, list[float]]) -> Figures:
        """What all rounds say together."""
        return {name: statistics.median(values) for name, values in samples.items()}


class Warm(Measure):
    """A command in a sandbox that runs: the median, in ms."""

    async def begin(self, contender: Contender) -> None:
        await contender.start()
        for _ in range(WARM_UP):
            await contender.run("/bin/true")

    async def sample(self, contender: Contender) -> dict[str, list[float]]:
        runs = max(1, self.sizes.runs // self.rounds)
        return {"warm": [await timed(contender.run("/bin/true")) for _ in range(runs)]}


class First(Measure):
    """From nothing to the end of a first command: the median, in ms."""

    def __init__(self, sizes: Sizes, folder: Path) -> None:
        super().__init__(sizes, folder)
        self.rounds = sizes.starts

    async def begin(self, contender: Contender) -> None:
        await self.sample(contender)

    async def sample(self, contender: Contender) -> dict[str, list[float]]:
        try:
            return {"first": [await timed(start_and_run(contender))]}
        finally:
            await contender.stop()


class Pool(Measure):
    """From asking for a sandbox out of the warm pool to the end of a first command: the median, in ms."""

    rounds = 1

    async def sample(self, contender: Contender) -> dict[str, list[float]]:
        return {"pool": await contender.from_pool(self.sizes.starts)}


class PrintedOutput(Measure):
    """Output received per second, in MB: the best round."""

    rounds = 3

    async def begin(self, contender: Contender) -> None:
        await contender.start()
        await contender.print_bytes(1 << 20)

    async def sample(self, contender: Contender) -> dict[str, list[float]]:
        spent = await timed(contender.print_bytes(self.sizes.output))
        return {"output": [self.sizes.output / 1e6 / (spent / 1000)]}

    def figures(self, samples: Mapping[str, list[float]]) -> Figures:
        return {name: max(values) for name, values in samples.items()}


class Upload(Measure):
    """A large file, in seconds: the best round."""

    rounds = 3

    async def begin(self, contender: Contender) -> None:
        await contender.start()

    async def sample(self, contender: Contender) -> dict[str, list[float]]:
        spent = await timed(contender.upload(self.folder / "upload", f"{WORKSPACE}/upload"))
        return {"upload": [spent / 1000]}

    def figures(self, samples: Mapping[str, list[float]]) -> Figures:
        return {name: min(values) for name, values in samples.items()}


class Checkpoint(Measure):
    """A checkpoint of a small change, and from there to the end of a first command: medians, in ms."""

    def __init__(self, sizes: Sizes, folder: Path) -> None:
        super().__init__(sizes, folder)
        self.rounds = sizes.checkpoints

    async def sample(self, contender: Contender) -> dict[str, list[float]]:
        async with contender.running():
            await contender.run(CHANGE)
            start = time.perf_counter()
            snapshot = await contender.checkpoint()
            taken = (time.perf_counter() - start) * 1000
        try:
            restored = await timed(start_and_run(contender, snapshot))
            await contender.run(f"test -s {WORKSPACE}/change")
        finally:
            await contender.stop()
            await contender.drop(snapshot)
        return {"checkpoint": [taken], "restore": [restored]}


async def start_and_run(contender: Contender, snapshot: str | None = None) -> None:
    """A sandbox, and the first command in it."""
    await contender.start(snapshot)
    await contender.run("/bin/true")


async def crowd(contenders: Sequence[Contender], commands: int) -> Figures:
    """Many sandboxes at once: MB of memory each, and the 95th percentile of a command in ms.

    `in turn`: one command at a time, the other sandboxes idle. `together`: every sandbox runs commands.
    """
    starting = asyncio.Semaphore(4)

    async def start(contender: Contender) -> None:
        async with starting:
            await start_and_run(contender)

    async def several(contender: Contender) -> list[float]:
        return [await timed(contender.run("/bin/true")) for _ in range(commands)]

    try:
        await asyncio.gather(*map(start, contenders))
        memory = [of_sandbox(await contender.process()) for contender in contenders]
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


MEASURES: dict[str, type[Measure]] = {
    "warm": Warm,
    "first": First,
    "pool": Pool,
    "output": PrintedOutput,
    "upload": Upload,
    "checkpoint": Checkpoint,
}
