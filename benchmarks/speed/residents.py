"""A program that lives as long as the benchmark, one for each build, and answers one question at a time.

Both have started, imported and prepared what a server has after its first minutes; so rounds can be short.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.against.builds import HERE, Build
from benchmarks.against.serving import toolbox

LONGEST = 1 << 24


class Resident:
    """Asks a build."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        self._process = process
        self._name = name

    async def ask(self, question: str, **arguments: Any) -> dict[str, Any]:
        """Return the answer. Raises `RuntimeError` with what went wrong there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([question, arguments]).encode() + b"\n")
        await self._process.stdin.drain()
        line = await self._process.stdout.readline()
        told: dict[str, Any] = json.loads(line) if line else {"error": "it ended"}
        if "error" in told:
            raise RuntimeError(f"{self._name}: {told['error']}")
        return told


def environment(build: Build, folder: Path) -> dict[str, str]:
    """Return an environment with its `agent_kernel`, this build's `benchmarks`, and a data folder below."""
    modules, data = folder / "modules", folder / f"data-{build.name}"
    modules.mkdir(exist_ok=True)
    if not (modules / "benchmarks").exists():
        (modules / "benchmarks").symlink_to(HERE / "benchmarks")
    if not data.exists():
        data.mkdir(mode=0o700)
        (data / "toolbox").symlink_to(toolbox(build))
    settings = {"AGENT_KERNEL_SANDBOX": "bubblewrap", "AGENT_KERNEL_DATA_DIR": str(data)}
    return {**build.environment(), **settings, "PYTHONPATH": f"{modules}:{build.checkout}"}


@asynccontextmanager
async def resident(build: Build, folder: Path) -> AsyncIterator[Resident]:
    """Run the program of a build."""
    process = await asyncio.create_subprocess_exec(
        *(build.python, "-m", "benchmarks.speed.programs.answering"),
        cwd=folder,
        env=await asyncio.to_thread(environment, build, folder),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=sys.stderr,
        limit=LONGEST,
    )
    try:
        yield Resident(process, build.name)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
