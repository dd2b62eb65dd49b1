"""What is measured of this build alone: stores, chains and expiry, and the kernel beside plain ipykernel."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

from benchmarks.against.builds import HERE
from benchmarks.speed.bench import Bench, Figures


async def stores(bench: Bench) -> AsyncIterator[Figures]:
    """Ratios of turns and of opening, from `benchmarks.turns.stores`; one round, which has pairs itself."""
    sizes = ("--responses", str(bench.sizes.responses), "--chain", str(bench.sizes.chain))
    yield await _json("-m", "benchmarks.turns.stores", "--json", *sizes)


async def kernel(bench: Bench) -> AsyncIterator[Figures]:
    """Seconds to the first idle and MB of our kernel, ipykernel's, and a bare one."""
    for _ in range(bench.sizes.rounds):
        found = await _json("benchmarks/kernel_start.py", "--json", "--bare", "--rounds", "1")
        yield {
            f"{name} {unit}": found[kind][unit]
            for kind, name in (("agent", "now kernel"), ("plain", "ipykernel"), ("bare", "bare kernel"))
            for unit in ("seconds", "megabytes")
        }


async def _json(*arguments: str) -> dict[str, Any]:
    """Run a benchmark of ours; its exit status says whether its own limits are met, and is not looked at."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        cwd=HERE,
        env={**os.environ, "PYTHONPATH": str(HERE)},
        stdout=subprocess.PIPE,
    )
    output, _ = await process.communicate()
    found: dict[str, Any] = json.loads(output)
    return found
