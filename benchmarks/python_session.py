"""How long a cell of `code_interpreter` takes in bubblewrap, beside an ipykernel on this machine, in one run.

    python benchmarks/python_session.py [--runs 200] [--json]

The figures are medians in milliseconds of `1+1` in a warm session, and single durations of a cold start; what
counts are the ratios. Ours begins with a new sandbox. 200 MB of printed output show what the host keeps.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from jupyter_client.manager import start_new_kernel

from agent_kernel.config import RuntimeSettings
from agent_kernel.sandboxes.base import SandboxSpec
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.toolbox import Toolbox
from agent_kernel.tools.code_interpreter.session import CodeCell, run_cell

PRINTS = "for _ in range(2000): print('x' * 100_000)"
"""200 MB."""


def resident() -> float:
    """Return the memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def beside(runs: int) -> dict[str, float]:
    """Measure an ipykernel on this machine, through `jupyter_client`."""
    start = time.perf_counter()
    manager, client = start_new_kernel(kernel_name="python3")

    def once() -> float:
        begun = time.perf_counter()
        client.execute_interactive("1+1", output_hook=lambda message: None)
        return time.perf_counter() - begun

    try:
        once()
        cold = time.perf_counter() - start
        return {"ipykernel, cold": cold * 1000, "ipykernel, warm": median([once() for _ in range(runs)])}
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def median(durations: list[float]) -> float:
    """Return the median in milliseconds."""
    return statistics.median(durations) * 1000


async def ours(backend: BubblewrapBackend, runs: int) -> dict[str, float]:
    """Measure a session in a new sandbox."""
    numbers = iter(range(10**9))
    start = time.perf_counter()
    ref = await backend.create(SandboxSpec(f"bench-{time.time_ns()}"))
    try:
        channel = await Channel.open(await backend.stream(ref))

        async def once(code: str) -> float:
            begun = time.perf_counter()
            await run_cell(channel, CodeCell(f"bench/{next(numbers)}", code, 60, 50_000))
            return time.perf_counter() - begun

        await once("1+1")
        cold = time.perf_counter() - start
        warm = median([await once("1+1") for _ in range(runs)])
        before = resident()
        await once(PRINTS)
        grown = resident() - before
        await channel.aclose()
    finally:
        await backend.delete(ref)
    return {"session, cold": cold * 1000, "session, warm": warm, "host memory after 200 MB": grown}


def measure(runs: int) -> dict[str, float]:
    """Return all figures by name: milliseconds, and megabytes of memory."""
    toolbox = Toolbox(RuntimeSettings().data_path())
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(ours(BubblewrapBackend(Path(folder), toolbox), runs))
    return {**found, **beside(runs)}


def ratios(found: dict[str, float]) -> dict[str, float]:
    """Return what is claimed, as numbers."""
    return {
        "warm call against ipykernel": found["session, warm"] / found["ipykernel, warm"],
        "first call in a new sandbox against ipykernel": found["session, cold"] / found["ipykernel, cold"],
    }


def main() -> int:
    """Print the figures and the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.runs)
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
