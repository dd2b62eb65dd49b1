"""Many commands and many sandboxes, and then a look whether anything was left behind.

    python -m benchmarks.soak [--backend docker|docker-runsc|bubblewrap] [--commands N] [--cycles N] [--json]

Counted before and after, on the machine: processes, containers and volumes of these sandboxes, mounts, user
namespaces; of this process: descriptors, children, files below its data folder and its temporary folder. What
was there before does not count. If something is left, the exit status is 1 and the difference is printed. The
count is repeated for up to 20 s, because an engine removes some things late.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from agent_kernel.config import RuntimeSettings
from agent_kernel.sandboxes.base import Backend, SandboxSpec
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.channel import Channel, Exited
from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.sandboxes.toolbox import Toolbox

MARK = os.getpid()
SLEEP = f"1000.{MARK}"
LEASE = 60 + MARK / 10**8
"""Nobody else's sandboxes have this lease: it stands in the command line of their process 1."""
COMMANDS = (
    "/bin/true",
    "echo out; echo err >&2",
    "X=$((X + 1)); cd /tmp; cd - >/dev/null",
    "head -c 200000 /dev/zero",
    f"sleep {SLEEP} & disown",
    f"(setsid sleep {SLEEP} &) ",
    "kill %% 2>/dev/null; pkill sleep || true",
    "exit 3",
    "mktemp >/dev/null; rm -f /tmp/tmp.*",
    "cat <<'END' >/dev/null\ntext\nEND",
)
"""One after the other, again and again; 3 and 0 are the only statuses."""
SETTLE_SECONDS = 20.0


@dataclass(frozen=True)
class Counted:
    """What was found, by kind: names rather than numbers, so that a difference says what it is."""

    processes: frozenset[str]
    """Those of this machine with our lease, our sleep or our data folder in their command line."""
    containers: frozenset[str]
    volumes: frozenset[str]
    mounts: frozenset[str]
    user_namespaces: frozenset[str]
    descriptors: frozenset[str]
    children: frozenset[str]
    files: frozenset[str]
    """Below the data folder and the temporary folder of this run."""

    def left_since(self, before: Counted) -> dict[str, list[str]]:
        """What is there now and was not there before, by kind."""
        found = {}
        for field in fields(self):
            more = sorted(getattr(self, field.name) - getattr(before, field.name))
            if more:
                found[field.name] = more
        return found

    def sizes(self) -> dict[str, int]:
        """How many of each."""
        return {field.name: len(getattr(self, field.name)) for field in fields(self)}


async def count(folder: Path, engine: bool) -> Counted:
    """Look at everything."""
    gc.collect()
    marks = (f'"lease": {LEASE}', SLEEP, str(folder))
    ours = {pid: line for pid, line in _command_lines() if any(mark in line for mark in marks)}
    return Counted(
        processes=frozenset(f"{pid} {line[:80]}" for pid, line in ours.items()),
        containers=await _docker(
            engine, "ps", "--all", "--filter", f"name=soak-{MARK}-", "--format", "{{.Names}}"
        ),
        volumes=await _docker(
            engine, "volume", "ls", "--filter", f"name=agent-kernel-soak-{MARK}-", "--quiet"
        ),
        mounts=frozenset(_mounts()),
        user_namespaces=frozenset(_namespaces("user", str(folder))),
        descriptors=frozenset(_descriptors()),
        children=frozenset(_children()),
        files=frozenset(_files(folder)),
    )


def _command_lines() -> Iterator[tuple[str, str]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                yield entry.name, words.decode(errors="replace")


def _namespaces(kind: str, mounted: str) -> Iterator[str]:
    """Those of processes that see something of a folder mounted, as in our sandboxes and nobody else's."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and mounted in (entry / "mountinfo").read_text(errors="replace"):
                yield os.readlink(entry / "ns" / kind)


def _mounts() -> list[str]:
    return [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]


def _children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def _files(folder: Path) -> Iterator[str]:
    return map(str, folder.rglob("*"))


def _descriptors() -> Iterator[str]:
    """Numbers with what they are; a socket's inode changes, its number of descriptors may not."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the listing's own
            yield f"{name} {os.readlink(f'/proc/self/fd/{name}').partition(':')[0]}"


async def _docker(engine: bool, *words: str) -> frozenset[str]:
    """What the engine lists; nothing is asked for where the run does not use it."""
    if not engine:
        return frozenset()
    process = await asyncio.create_subprocess_exec("docker", *words, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"docker {words[0]} ended with status {process.returncode}")
    return frozenset(output.decode().splitlines())


async def cycle(backend: Backend, name: str, commands: Iterable[str]) -> int:
    """Make a sandbox, run the commands in it, remove it; returns how many commands ran."""
    ran = 0
    ref = await backend.create(SandboxSpec(name, lease=LEASE))
    try:
        channel = await Channel.open(await backend.stream(ref))
        try:
            for command in commands:
                await _run(channel, command)
                ran += 1
        finally:
            await channel.aclose()
    finally:
        await backend.delete(ref)
    return ran


async def _run(channel: Channel, command: str) -> None:
    async for event in channel.run(command, timeout=60):
        outcome = event
    if not (isinstance(outcome, Exited) and outcome.code in (0, 3)):
        raise RuntimeError(f"{command!r} ended with {outcome}")


async def soak(backend: Backend, commands: int, cycles: int, cycle_commands: int = 3) -> dict[str, float]:
    """One sandbox with all the commands, then the cycles with a few each; returns how long both took."""
    began = time.perf_counter()
    wanted = (COMMANDS[number % len(COMMANDS)] for number in range(commands))
    ran = await cycle(backend, f"soak-{MARK}-0", wanted)
    between = time.perf_counter()
    for number in range(1, cycles + 1):
        few = (COMMANDS[(number + each) % len(COMMANDS)] for each in range(cycle_commands))
        ran += await cycle(backend, f"soak-{MARK}-{number}", few)
    ended = time.perf_counter()
    return {
        "commands": ran,
        "cycles": cycles,
        "ms per command": (between - began) * 1000 / max(1, commands),
        "ms per cycle": (ended - between) * 1000 / max(1, cycles),
    }


async def settled(folder: Path, engine: bool, before: Counted) -> tuple[Counted, dict[str, list[str]]]:
    """Count until nothing is left or 20 s have gone: the engine ends its own helpers a moment later."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        after = await count(folder, engine)
        left = after.left_since(before)
        if not left or time.monotonic() > deadline:
            return after, left
        await asyncio.sleep(0.5)


async def run(name: str, commands: int, cycles: int) -> dict[str, object]:
    """Soak one backend; `left` is what is left behind, by kind."""
    with tempfile.TemporaryDirectory(prefix="agent-kernel-soak-") as path:
        folder = Path(path)
        tempfile.tempdir = str(folder)  # whatever a backend leaves in its temporary folder is found there
        try:
            return await _run_in(folder, name, commands, cycles)
        finally:
            tempfile.tempdir = None


async def _run_in(folder: Path, name: str, commands: int, cycles: int) -> dict[str, object]:
    engine = name != "bubblewrap"
    async with _backend(name, folder) as backend:
        await soak(backend, 3, 3)  # threads and folders that are kept on purpose
    before = await count(folder, engine)
    async with _backend(name, folder) as backend:
        figures = await soak(backend, commands, cycles)
    after, left = await settled(folder, engine, before)
    return {"backend": name, **figures, "before": before.sizes(), "after": after.sizes(), "left": left}


@contextlib.asynccontextmanager
async def _backend(name: str, folder: Path) -> AsyncIterator[Backend]:
    if name == "bubblewrap":
        backend: Backend = BubblewrapBackend(folder, Toolbox(RuntimeSettings().data_path()))
    else:
        backend = DockerBackend(runtime=name.partition("-")[2] or None)
    try:
        yield backend
    finally:
        await backend.aclose()


def main() -> int:
    """Soak, print, and say by the exit status whether something was left."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--backend", choices=("docker", "docker-runsc", "bubblewrap"), action="append")
    parser.add_argument("--commands", type=int, default=10_000)
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    left = False
    for name in options.backend or ("bubblewrap", "docker"):
        found = asyncio.run(run(name, options.commands, options.cycles))
        left = left or bool(found["left"])
        if options.json:
            json.dump(found, sys.stdout)
            print()
            continue
        for key, value in found.items():
            print(f"{key:<16}{value:.2f}" if isinstance(value, float) else f"{key:<16}{value}")
    return int(left)


if __name__ == "__main__":
    sys.exit(main())
