"""How long a warm `/bin/true` takes: ours beside `docker exec` and a bare bash pipe, in one run.

    python benchmarks/command_latency.py [--runs 300] [--json]

The figures are medians in milliseconds; what counts are the ratios printed below them. "bare pipe" writes
`/bin/true` to a bash on this machine and waits for its answer: nothing can be faster than that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from agent_kernel.config import RuntimeSettings
from agent_kernel.sandboxes.base import Backend, SandboxSpec
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.sandboxes.toolbox import Toolbox

WARM_UP = 20


async def median(once: Callable[[], Awaitable[None]], runs: int) -> float:
    """The median duration of `once` in milliseconds, after a warm-up."""
    durations = []
    for number in range(WARM_UP + runs):
        start = time.perf_counter()
        await once()
        if number >= WARM_UP:
            durations.append(time.perf_counter() - start)
    return statistics.median(durations) * 1000


async def bare_pipe(runs: int) -> float:
    """`/bin/true` in a bash on a pair of pipes, nothing in between."""
    argv = ["bash", "--norc", "--noprofile"]
    bash = await asyncio.to_thread(subprocess.Popen, argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert bash.stdin is not None
    assert bash.stdout is not None
    stdin, stdout = bash.stdin, bash.stdout

    async def once() -> None:
        stdin.write(b"/bin/true; echo $?\n")
        stdin.flush()
        stdout.readline()

    with bash:
        return await median(once, runs)


async def docker_exec(container: str, runs: int) -> float:
    """`docker exec CONTAINER /bin/true`, as people do it."""

    async def once() -> None:
        process = await asyncio.create_subprocess_exec("docker", "exec", container, "/bin/true")
        await process.wait()

    return await median(once, runs)


async def ours(
    backend: Backend, runs: int, beside: Callable[[str], Awaitable[float]] | None
) -> tuple[float, float]:
    """A warm command through boxd; `beside` measures something else in the same sandbox."""
    ref = await backend.create(SandboxSpec(f"bench-{time.time_ns()}"))
    try:
        channel = await Channel.open(await backend.stream(ref))

        async def once() -> None:
            async for _ in channel.run("/bin/true"):
                pass

        measured = await median(once, runs)
        other = await beside(f"agent-kernel-{ref.id}") if beside else 0.0
        await channel.aclose()
        return measured, other
    finally:
        await backend.delete(ref)


async def measure(runs: int) -> dict[str, float]:
    """All medians by name, in milliseconds."""
    toolbox = Toolbox(RuntimeSettings().data_path())
    found = {"bare pipe": await bare_pipe(runs)}
    docker = DockerBackend()
    with tempfile.TemporaryDirectory() as folder:
        found["bubblewrap"], _ = await ours(BubblewrapBackend(Path(folder), toolbox), runs, None)
    try:
        found["docker"], found["docker exec"] = await ours(
            docker, runs, lambda container: docker_exec(container, max(10, runs // 10))
        )
    finally:
        await docker.aclose()
    return found


def ratios(found: dict[str, float]) -> dict[str, float]:
    """What is claimed, as numbers: how many times faster, how many times slower."""
    return {
        "docker is faster than docker exec by": found["docker exec"] / found["docker"],
        "docker against the bare pipe": found["docker"] / found["bare pipe"],
        "bubblewrap against the bare pipe": found["bubblewrap"] / found["bare pipe"],
    }


def main() -> int:
    """Print the medians and the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = asyncio.run(measure(options.runs))
    if options.json:
        json.dump({"milliseconds": found, "ratios": ratios(found)}, sys.stdout)
        return 0
    for name, value in found.items():
        print(f"{name:<40}{value:10.2f} ms")
    for name, value in ratios(found).items():
        print(f"{name:<40}{value:10.1f} x")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
