"""What a turn costs beside its commands, and what a long chain costs.

    python -m benchmarks.turns

Three measures, each in one run on one machine, so that their ratios mean something:

- a turn of 50 commands with a model that answers at once, against the same commands given straight to the
  sandbox: at most 5 ms a command more;
- turn 200 of a chain against turn 2: at most 1.2 times;
- 50 text turns at once: throughput, p95 and memory, for comparison.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from agent_kernel.cli.compose import backend_source
from agent_kernel.config import load
from agent_kernel.models.catalogue import Models
from agent_kernel.protocol.sse import encode
from agent_kernel.runtime.local import LocalRuntime, TurnSettings
from agent_kernel.runtime.sqlite import SqliteStore
from agent_kernel.tools.shell import run_shell_call

COMMANDS = 50
CHAIN = 200
AT_ONCE = 50
PER_COMMAND = 5.0
"""Milliseconds that one command may cost beside the sandbox's own time."""
GROWTH = 1.2
SHELL: Any = {"type": "shell", "environment": {"type": "container_auto"}}

SCRIPT = f"""
name: benchmark
turns:
  - when: many
    do:
{"      - shell: 'true'" + chr(10)}{("      - shell: 'true'" + chr(10)) * (COMMANDS - 1)}      - say: done
  - when: one
    do:
      - shell: 'echo of the chain'
      - say: done
  - when: talk
    do:
      - say: {"word " * 50}
"""


@asynccontextmanager
async def runtime() -> AsyncIterator[LocalRuntime]:
    """A runtime on the configured sandbox, with a store and a script of its own."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "benchmark.yaml")
        script.write_text(SCRIPT)  # noqa: ASYNC240 (nothing else runs yet)
        made = LocalRuntime(
            models=Models(upstream_url=None, upstream_key=None, default=f"scripted/{script}"),
            backend=backend_source(load()),
            store=SqliteStore(Path(folder, "store.sqlite")),
            turn_settings=TurnSettings(max_steps=COMMANDS + 1),
        )
        try:
            yield made
        finally:
            for container in (await made.containers.list(limit=100)).data:
                await made.containers.delete(container.id)
            await made.aclose()


async def turn(made: LocalRuntime, text: str, **request: Any) -> tuple[float, str, str]:
    """One turn, its events encoded as a server would: seconds, response id, container id."""
    begun, response_id, container_id = time.perf_counter(), "", ""
    async with aclosing(made.respond({"input": text, "tools": [SHELL], **request})) as events:
        async for event in events:
            encode(event)
            if event.type == "response.completed":
                response_id = event.response.id
                tool: Any = event.response.tools[0]
                container_id = tool.environment.container_id
    assert response_id, f"the turn {text!r} did not complete"
    return time.perf_counter() - begun, response_id, container_id


async def per_command(made: LocalRuntime) -> tuple[float, float]:
    """Milliseconds per command: in a turn, and given straight to the sandbox."""
    _, response_id, container_id = await turn(made, "one")
    inside, straight = [], []
    for _ in range(5):
        seconds, response_id, _ = await turn(made, "many", previous_response_id=response_id)
        inside.append(seconds)
        begun = time.perf_counter()
        for _ in range(COMMANDS):
            async with made.containers.use(container_id, to_run=True) as channel:
                async for _piece in run_shell_call(channel, ["true"]):
                    pass
        straight.append(time.perf_counter() - begun)
    return min(inside) / COMMANDS * 1000, min(straight) / COMMANDS * 1000


async def chain(made: LocalRuntime) -> tuple[float, float]:
    """Milliseconds of the second turn of a chain and of the last: each the fastest of ten around it.

    What else the machine does makes a turn slower, never faster.
    """
    _, response_id, _ = await turn(made, "one")
    times = []
    for _ in range(CHAIN):
        seconds, response_id, _ = await turn(made, "one", previous_response_id=response_id)
        times.append(seconds)
    return min(times[:10]) * 1000, min(times[-10:]) * 1000


async def at_once(made: LocalRuntime) -> tuple[float, float]:
    """Turns per second and p95 in milliseconds, of text turns that all run at the same time."""

    async def one() -> float:
        begun = time.perf_counter()
        async with aclosing(made.respond({"input": "talk"})) as events:
            async for event in events:
                encode(event)
        return time.perf_counter() - begun

    begun = time.perf_counter()
    times = sorted(await asyncio.gather(*(one() for _ in range(AT_ONCE))))
    return AT_ONCE / (time.perf_counter() - begun), times[int(len(times) * 0.95)] * 1000


async def measure() -> bool:
    """Measure and print; whether all targets are met."""
    async with runtime() as made:
        inside, straight = await per_command(made)
        early, late = await chain(made)
        rate, p95 = await at_once(made)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cost, growth = inside - straight, late / early
    print(f"a command in a turn of {COMMANDS}: {inside:.2f} ms, straight {straight:.2f} ms")
    print(f"  so the turn costs {cost:.2f} ms a command (target {PER_COMMAND})")
    print(f"turn 2 of a chain: {early:.1f} ms, turn {CHAIN}: {late:.1f} ms")
    print(f"  so it grows {growth:.2f} times (target {GROWTH})")
    print(f"{AT_ONCE} text turns at once: {rate:.0f} a second, p95 {p95:.0f} ms, {memory:.0f} MB at most")
    return cost <= PER_COMMAND and growth <= GROWTH


def main() -> None:
    """Exit with 1 if a target is missed."""
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    raise SystemExit(0 if asyncio.run(measure()) else 1)


if __name__ == "__main__":
    main()
