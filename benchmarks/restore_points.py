"""What a checkpoint and going back to one cost in a full workspace, beside an empty one, in one run.

    python benchmarks/restore_points.py [--sandbox docker] [--rounds 10] [--files 20000] [--large 1000]
        [--turns 100] [--megabytes 1000] [--json]

The full workspace has `--files` files of 50 KB and one of `--large` MB. In each round 10 files of 1 MB change
in both, a checkpoint is taken of each in turn, they change again, and each goes back to it, as far as its
first command. "copy" is a checkpoint of an empty workspace that copies, as all did before there were layers
(with Docker: a checkpoint of an empty workspace); "new" is the start of a sandbox that begins with nothing.
Then `--turns` turns each change 1 MB of `--megabytes`.

The figures are medians in milliseconds; what counts are the ratios. It needs 4 GB of disk in TMPDIR, and with
Docker 3 GB for each round where the engine keeps its images.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import secrets
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
from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.sandboxes.optional import RestoresInPlace, snapshots_of, total_size
from agent_kernel.sandboxes.toolbox import Toolbox

MB = 1 << 20
MARK = {"benchmark": secrets.token_hex(6)}
"""The label of this run's checkpoints."""

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
    ref = await backend.create(SandboxSpec(f"benchmark-{name}", lease=600, snapshot=snapshot))
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
    await snapshots_of(backend).checkpoint(ref, name, MARK)
    await channel.wake()
    return (time.perf_counter() - began) * 1000


async def starting(backend: Backend, name: str, snapshot: str | None = None) -> float:
    """Start a sandbox, and return the milliseconds until its first command has ended."""
    began = time.perf_counter()
    async with sandbox(backend, name, snapshot) as (_, channel):
        await run(channel, "true")
        return (time.perf_counter() - began) * 1000


async def going_back(backend: Backend, ref: SandboxRef, channel: Channel, snapshot: str) -> float:
    """Go back as a runtime does, and return the milliseconds until the next command has ended."""
    if not isinstance(backend, RestoresInPlace):
        return await starting(backend, f"{ref.id}-{snapshot}", snapshot)
    began = time.perf_counter()
    await channel.pause(idle=True, leaves=True)
    if not await backend.put_back(ref, snapshot):
        raise RuntimeError("nothing goes back in place here")
    await channel.renew()
    await run(channel, "true")
    return (time.perf_counter() - began) * 1000


async def times(backend: Backend, copying: Backend, arguments: argparse.Namespace) -> dict[str, float]:
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
                await run(made[name][1], CHANGE)
                found[f"back, {name}"].append(await going_back(backend, *made[name], kept))
            found["take, copy"].append(await checkpoint(copying, *made["copy"], f"copy-{number}"))
            found["back, new"].append(await starting(backend, f"new-{number}"))
    await forget(backend)
    if copying is not backend:
        await forget(copying)
    return {name: statistics.median(values) for name, values in found.items()}


async def forget(backend: Backend) -> None:
    """Remove the checkpoints of this run."""
    for snapshot in await snapshots_of(backend).snapshots(MARK):
        await snapshots_of(backend).remove_snapshot(snapshot.id)


async def taken_by(backend: Backend, data: Path) -> int:
    """Return the bytes on disk of a backend with its data in a folder: here merged layers share files."""
    if isinstance(backend, BubblewrapBackend):
        return sum(allocated(data / each) for each in ("layers", "snapshots", "sandboxes"))
    return total_size(await snapshots_of(backend).snapshots(MARK))


async def disk(backend: Backend, data: Path, turns: int, size: int) -> float:
    """Return the MB on disk after `turns` turns that each change 1 MB of `size` and take one."""
    async with sandbox(backend, "turns") as (ref, channel):
        await run(channel, f"mkdir mb; for i in {{1..{size}}}; do head -c 1M /dev/urandom >mb/$i; done")
        for number in range(turns):
            await run(channel, f"head -c 1M /dev/urandom >mb/{number % size + 1}")
            await checkpoint(backend, ref, channel, f"turn-{number}")
        taken = await taken_by(backend, data)
        await forget(backend)
    return taken / MB


class Copying(BubblewrapBackend):
    """A backend whose checkpoints copy."""

    def __init__(self, data: Path, toolbox: Toolbox) -> None:
        super().__init__(data, toolbox)
        self._snapshots.layered = False


async def backends(name: str, data: Path) -> tuple[Backend, Backend]:
    """Return the backend to measure, and the one whose checkpoints copy."""
    if name == "docker":
        docker = DockerBackend()
        return docker, docker
    toolbox = Toolbox(RuntimeSettings().data_path())
    await asyncio.to_thread(toolbox.prepare)
    return BubblewrapBackend(data, toolbox), Copying(data / "copying", toolbox)


async def measured(arguments: argparse.Namespace) -> dict[str, object]:
    """Return medians, ratios, and the disk that turns take."""
    with tempfile.TemporaryDirectory() as folder:
        backend, copying = await backends(arguments.sandbox, Path(folder))
        found = await times(backend, copying, arguments)
        taken = await disk(backend, Path(folder), arguments.turns, arguments.megabytes)
        await backend.aclose()
    ratios = {
        "take: full against empty": found["take, full"] / found["take, empty"],
        "take: full against a copy of nothing": found["take, full"] / found["take, copy"],
        "back: full against empty": found["back, full"] / found["back, empty"],
        "back: full against a copy of nothing": found["back, full"] / found["take, copy"],
        "back: full against a new sandbox": found["back, full"] / found["back, new"],
    }
    return {"milliseconds": found, "ratios": ratios, "megabytes": {f"{arguments.turns} turns": taken}}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sandbox", choices=("bubblewrap", "docker"), default="bubblewrap")
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
