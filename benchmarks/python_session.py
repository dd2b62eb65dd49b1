"""How long a cell of `code_interpreter` takes in bubblewrap, beside an ipykernel on this machine, in one run.

    python benchmarks/python_session.py [--runs 200] [--docker] [--json]

The figures are medians in milliseconds; what counts are the ratios. Ours and theirs take turns, so that other
work on the machine delays both. A cold start of ours begins with a new sandbox, on Docker with the first call
in one that has started. 200 MB of printed output show what the host keeps.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from jupyter_client.manager import start_new_kernel

from agent_kernel.config import RuntimeSettings
from agent_kernel.sandboxes.base import SandboxSpec
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.sandboxes.docker.image import DEFAULT_IMAGE
from agent_kernel.sandboxes.pool import WarmPool
from agent_kernel.sandboxes.toolbox import Toolbox
from agent_kernel.tools.catalogue import warm_up
from agent_kernel.tools.code_interpreter.session import CodeCell, LiveOutput, run_cell

PRINTS = "for _ in range(2000): print('x' * 100_000)"
"""200 MB."""

POOLED = 5
"""Sandboxes that are taken from the pool."""

COLD = 3
"""Cold starts of each."""


def resident() -> float:
    """Return the memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


class Kernel:
    """An ipykernel on this machine, through `jupyter_client`."""

    def __init__(self) -> None:
        start = time.perf_counter()
        self._manager, self._client = start_new_kernel(kernel_name="python3")
        self.once()
        self.cold = time.perf_counter() - start

    def once(self) -> float:
        """Run `1+1`. Return the seconds."""
        begun = time.perf_counter()
        self._client.execute_interactive("1+1", output_hook=lambda message: None)
        return time.perf_counter() - begun

    def close(self) -> None:
        """End it."""
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


def median(durations: list[float]) -> float:
    """Return the median in milliseconds."""
    return statistics.median(durations) * 1000


async def dropped(new: LiveOutput) -> None:
    """Take new text, as a notebook's live view does."""


async def pooled(backend: BubblewrapBackend) -> dict[str, float]:
    """Measure a first cell in a sandbox from the warm pool, from asking for the sandbox on."""
    spec = SandboxSpec("")
    pool = WarmPool(backend, 1, spec, lambda: f"bench-{time.time_ns()}", warm_up)
    durations = []
    try:
        for number in range(POOLED):
            pool.fill()
            await pool.filled()
            begun = time.perf_counter()
            warm = await pool.take(spec)
            if warm is None:
                raise RuntimeError("the pool is empty: see the warning above")
            await run_cell(warm.channel, CodeCell(f"bench/{number}", "1+1", 60, 50_000))
            durations.append(time.perf_counter() - begun)
            await warm.channel.aclose()
            await backend.delete(warm.ref)
    finally:
        await pool.aclose()
    return {"session, from a warm pool": median(durations)}


async def on_docker(backend: DockerBackend) -> dict[str, float]:
    """Measure a first cell in a new container, without the container's own start."""
    async with sandbox(backend) as channel:
        begun = time.perf_counter()
        await run_cell(channel, CodeCell("bench/docker", "1+1", 60, 50_000))
        first = time.perf_counter() - begun
    await backend.aclose()
    return {"session, cold on Docker without its start": first * 1000}


async def cold(backend: BubblewrapBackend) -> dict[str, float]:
    """Measure a first cell in new sandboxes, and in new kernels in between."""
    ours, theirs = [], []
    for number in range(COLD):
        start = time.perf_counter()
        async with sandbox(backend) as channel:
            await run_cell(channel, CodeCell(f"bench/{number}", "1+1", 60, 50_000))
            ours.append(time.perf_counter() - start)
        kernel = Kernel()
        theirs.append(kernel.cold)
        kernel.close()
    return {"session, cold": median(ours), "ipykernel, cold": median(theirs)}


async def warm(backend: BubblewrapBackend, runs: int) -> dict[str, float]:
    """Measure cells in a session, each followed by one in a kernel; then 200 MB of output."""
    numbers = iter(range(10**9))
    kernel = Kernel()
    try:
        async with sandbox(backend) as channel:

            async def once(code: str) -> float:
                begun = time.perf_counter()
                await run_cell(channel, CodeCell(f"bench/{next(numbers)}", code, 60, 50_000))
                return time.perf_counter() - begun

            await once("1+1")
            pairs = [(await once("1+1"), kernel.once()) for _ in range(runs)]
            before = resident()
            await once(PRINTS)
            grown = resident() - before
    finally:
        kernel.close()
    ours, theirs = zip(*pairs, strict=True)
    figures = {"session, warm": median(list(ours)), "ipykernel, warm": median(list(theirs))}
    return {**figures, "host memory after 200 MB": grown}


@asynccontextmanager
async def sandbox(backend: BubblewrapBackend | DockerBackend) -> AsyncIterator[Channel]:
    """Open the channel to a new sandbox."""
    ref = await backend.create(SandboxSpec(f"bench-{time.time_ns()}"))
    try:
        channel = await Channel.open(await backend.stream(ref))
        yield channel
        await channel.aclose()
    finally:
        await backend.delete(ref)


async def measured(toolbox: Toolbox, runs: int, docker: bool) -> dict[str, float]:
    """Measure everything, each in sandboxes of its own."""
    with tempfile.TemporaryDirectory() as folder:
        backend = BubblewrapBackend(Path(folder), toolbox)
        found = {**await cold(backend), **await warm(backend, runs), **await pooled(backend)}
        await backend.aclose()
    return {**found, **(await on_docker(DockerBackend(DEFAULT_IMAGE)) if docker else {})}


def measure(runs: int, docker: bool = False) -> dict[str, float]:
    """Return all figures by name: milliseconds, and megabytes of memory."""
    toolbox = Toolbox(RuntimeSettings().data_path())
    return asyncio.run(measured(toolbox, runs, docker))


def ratios(found: dict[str, float]) -> dict[str, float]:
    """Return what is claimed, as numbers."""
    theirs = found["ipykernel, cold"]
    claims = {
        "warm call against ipykernel": found["session, warm"] / found["ipykernel, warm"],
        "first call in a new sandbox against ipykernel": found["session, cold"] / theirs,
        "first call from a warm pool against ipykernel": found["session, from a warm pool"] / theirs,
    }
    if (docker := found.get("session, cold on Docker without its start")) is not None:
        claims["first call on Docker without its start"] = docker / theirs
    return claims


def main() -> int:
    """Print the figures and the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--docker", action="store_true", help="measure a container too")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.runs, options.docker)
    if options.json:
        json.dump({"figures": found, "ratios": ratios(found)}, sys.stdout)
        return 0
    for name, value in found.items():
        print(f"{name:<48}{value:10.2f} {'MB' if 'memory' in name else 'ms'}")
    for name, value in ratios(found).items():
        print(f"{name:<48}{value:10.2f} x")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
