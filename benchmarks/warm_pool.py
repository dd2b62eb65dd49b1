"""What a sandbox from the warm pool costs: from asking for it to the end of its first command.

    python benchmarks/warm_pool.py [--rounds N] [--sandbox docker|bubblewrap] [--json]

The next sandbox is already being made in the background while that command runs, as it is in a server.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import statistics
import time
from contextlib import aclosing

from agent_kernel import config
from agent_kernel.cli import compose
from agent_kernel.sandboxes.base import Backend, SandboxSpec
from agent_kernel.sandboxes.channel import Channel, Exited
from agent_kernel.sandboxes.pool import WarmPool

SIZE = 2


async def from_pool(backend: Backend, rounds: int = 10) -> list[float]:
    """Milliseconds of each round. Leaves nothing behind; raises what making a sandbox raises."""
    numbers = itertools.count(1)
    spec = SandboxSpec("")
    pool = WarmPool(backend, SIZE, spec, lambda: f"warm-{os.getpid()}-{next(numbers)}")
    try:
        return [await _round(pool, backend, spec) for _ in range(rounds)]
    finally:
        await pool.aclose()


async def _round(pool: WarmPool, backend: Backend, spec: SandboxSpec) -> float:
    pool.fill()
    await pool.filled()
    began = time.perf_counter()
    warm = await pool.take(spec)
    if warm is None:
        raise RuntimeError("the pool is empty: see the warning above")
    try:
        await _run(warm.channel, "true")
        return (time.perf_counter() - began) * 1000
    finally:
        await warm.channel.aclose()
        await backend.delete(warm.ref)


async def _run(channel: Channel, command: str) -> None:
    async with aclosing(channel.run(command)) as events:
        async for event in events:
            if event != Exited(0):
                raise RuntimeError(f"the command ended with {event}")


async def measured(rounds: int) -> tuple[str, float, float]:
    """The configured sandbox, the median and the worst, in milliseconds."""
    backend, _ = await compose.choose_backend(config.load())
    try:
        times = await from_pool(backend, rounds)
    finally:
        await backend.aclose()
    return backend.name, statistics.median(times), max(times)


def main() -> None:
    """Print them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--sandbox", choices=("docker", "bubblewrap"))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.sandbox:
        os.environ["AGENT_KERNEL_SANDBOX"] = arguments.sandbox
    sandbox, median, worst = asyncio.run(measured(arguments.rounds))
    if arguments.json:
        print(json.dumps({"sandbox": sandbox, "median_ms": median, "worst_ms": worst}))
    else:
        print(f"{sandbox}: median {median:.1f} ms, worst {worst:.1f} ms")


if __name__ == "__main__":
    main()
