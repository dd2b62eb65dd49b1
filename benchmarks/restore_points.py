"""What a checkpoint and going back to one cost in a full workspace, beside an empty one, in one run.

    python benchmarks/restore_points.py [--rounds 10] [--files 20000] [--large 1000] [--turns 100]
        [--megabytes 1000] [--json]

The full workspace has `--files` files of 50 KB and one of `--large` MB. In each round 10 files of 1 MB change
in both, and a checkpoint is taken of each in turn. "copy" is a checkpoint of an empty workspace that copies,
as all did before there were layers. Going back is the start of a sandbox from a checkpoint, as far as its
first command; "new" is one that begins with nothing. Then `--turns` turns each change 1 MB of `--megabytes`.

The figures are medians in milliseconds; what counts are the ratios. It needs 4 GB of disk in TMPDIR.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

from agent_kernel.config import RuntimeSettings
from agent_kernel.sandboxes.base import Backend, SandboxRef, SandboxSpec
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.bubblewrap.trees import allocated
from agent_kernel.sandboxes.channel import Channel, Exited
from agent_kernel.sandboxes.optional import snapshots_of
from agent_kernel.sandboxes.toolbox import Toolbox

MB = 1 << 20
FILL = """
import os, sys
count, large = map(int, sys.argv[1:])
for number in range(count):
    os.makedirs(f"many/{number // 100}", exist_ok=True)
    with open(f"many/{number // 100}/{number}", "wb") as file:
        file.write(os.urandom(50_000))
with open("large", "wb") as file:
    for _ in range(large):
        file.write(os.urandom(1 << 20))
"""
CHANGE = "mkdir -p changed; for i in {1..10}; do head -c 1M /dev/urandom >changed/$i; done"


async def run(channel: Channel, command: str) -> None:
    """Run a command, whatever it takes. Raises `RuntimeError` if it fails."""
    async with contextlib.aclosing(channel.run(command)) as events:
        async for event in events:
            if isinstance(event, Exited) and event.code:
                raise RuntimeError(f"{command!r} ended with {event}")


@contextlib.asynccontextmanager
async def sandbox(
    backend: Backend, name: str, snapshot: str | None = None
) -> AsyncIterator[tuple[SandboxRef, Channel]]:
    """Start a sandbox, and delete it at the end."""
    ref = await backend.create(SandboxSpec(name, lease=600, snapshot=snapshot))
    try:
        channel = await Channel.open(await backend.stream(ref))
        try:
            yield ref, channel
        finally:
            await channel.aclose()
    finally:
        await backend.delete(ref)


async def checkpoint(backend: Backend, ref: SandboxRef, channel: Channel, name: str) -> float:
    """Take a checkpoint as a runtime does, and return the milliseconds."""
    began = time.perf_counter()
    await channel.save_shell()
    await channel.pause()
    await snapshots_of(backend).checkpoint(ref, name, {})
    await channel.wake()
    return (time.perf_counter() - began) * 1000


async def going_back(backend: Backend, name: str, snapshot: str | None) -> float:
    """Start a sandbox from a checkpoint, and return the milliseconds until its first command has ended."""
    began = time.perf_counter()
    async with sandbox(backend, name, snapshot) as (_, channel):
        await run(channel, "true")
        return (time.perf_counter() - began) * 1000


async def times(
    backend: BubblewrapBackend, copying: Backend, arguments: argparse.Namespace
) -> dict[str, float]:
    """Return the medians by name. All sandboxes live side by side, and are measured in turn."""
    found: dict[str, list[float]] = defaultdict(list)
    async with contextlib.AsyncExitStack() as stack:
        made = {
            name: await stack.enter_async_context(sandbox(each, name))
            for name, each in (("empty", backend), ("full", backend), ("copy", copying))
        }
        await run(made["full"][1], f"python3 -c '{FILL}' {arguments.files} {arguments.large}")
        for name in ("empty", "full"):
            await checkpoint(backend, *made[name], f"{name}-first")
        for number in range(arguments.rounds):
            for name in ("empty", "full"):
                await run(made[name][1], CHANGE)
                kept = f"{name}-{number}"
                found[f"take, {name}"].append(await checkpoint(backend, *made[name], kept))
                found[f"back, {name}"].append(await going_back(backend, f"back-{kept}", kept))
            found["take, copy"].append(await checkpoint(copying, *made["copy"], f"copy-{number}"))
            found["back, new"].append(await going_back(backend, f"new-{number}", None))
    for snapshot in await backend.snapshots():
        await backend.remove_snapshot(snapshot.id)
    return {name: statistics.median(values) for name, values in found.items()}


async def disk(backend: BubblewrapBackend, data: Path, turns: int, size: int) -> float:
    """Return the MB on disk after `turns` turns that each change 1 MB of `size` and take a checkpoint."""
    async with sandbox(backend, "turns") as (ref, channel):
        await run(channel, f"mkdir mb; for i in {{1..{size}}}; do head -c 1M /dev/urandom >mb/$i; done")
        for number in range(turns):
            await run(channel, f"head -c 1M /dev/urandom >mb/{number % size + 1}")
            await checkpoint(backend, ref, channel, f"turn-{number}")
        taken = sum(allocated(data / each) for each in ("layers", "snapshots", "sandboxes"))
        for snapshot in await backend.snapshots():
            await backend.remove_snapshot(snapshot.id)
    return taken / MB


class Copying(BubblewrapBackend):
    """A backend whose checkpoints copy."""

    def __init__(self, data: Path, toolbox: Toolbox) -> None:
        super().__init__(data, toolbox)
        self._snapshots.layered = False


async def measured(arguments: argparse.Namespace) -> dict[str, object]:
    """Return medians, ratios, and the disk that turns take."""
    toolbox = Toolbox(RuntimeSettings().data_path())
    await asyncio.to_thread(toolbox.prepare)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        backend = BubblewrapBackend(data, toolbox)
        copying = Copying(data / "copying", toolbox)
        found = await times(backend, copying, arguments)
        taken = await disk(backend, data, arguments.turns, arguments.megabytes)
        await backend.aclose()
    ratios = {
        "take: full against empty": found["take, full"] / found["take, empty"],
        "take: full against a copy of nothing": found["take, full"] / found["take, copy"],
        "back: full against empty": found["back, full"] / found["back, empty"],
        "back: full against a new sandbox": found["back, full"] / found["back, new"],
    }
    return {"milliseconds": found, "ratios": ratios, "megabytes": {f"{arguments.turns} turns": taken}}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--large", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=100)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = asyncio.run(measured(arguments))
    if arguments.json:
        print(json.dumps(found))
        return
    for group, values in found.items():
        print(group)
        for name, value in dict(values).items():  # type: ignore[call-overload]
            print(f"  {name:<40}{value:10.2f}")


if __name__ == "__main__":
    main()
