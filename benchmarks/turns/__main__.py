"""What a turn costs beside its commands, and what a long chain costs.

    python -m benchmarks.turns

Three measures, each in one run on one machine, so that their ratios mean something:

- a turn of 50 commands with a model that answers at once, against the same commands given straight to the
  sandbox: at most 5 ms a command more;
- turn 200 of a chain against turn 2: at most 1.2 times;
- 50 plain text turns at once, over HTTP: throughput, p95 and memory, with one process and with two, beside
  ogx's in the same run. ogx is installed in an environment of its own, from `ogx.txt`; it needs Python 3.12.
"""

from __future__ import annotations

import argparse
import asyncio
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
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.runtime.turns.settings import TurnSettings
from agent_kernel.store.sqlite.store import sqlite_store
from agent_kernel.tools.shell.run import run_shell_call
from benchmarks.turns import servers
from benchmarks.turns.load import AT_ONCE, ROUNDS, Load, at_once

COMMANDS = 50
CHAIN = 200
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
"""


@asynccontextmanager
async def runtime() -> AsyncIterator[LocalRuntime]:
    """A runtime on the configured sandbox, with a store and a script of its own."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "benchmark.yaml")
        script.write_text(SCRIPT)  # noqa: ASYNC240 (nothing else runs yet)
        made = LocalRuntime(
            RuntimeParts(
                models=Models(upstream_url=None, upstream_key=None, default=f"scripted/{script}"),
                backend=backend_source(load()),
                store=sqlite_store(Path(folder)),
                turn_settings=TurnSettings(max_steps=COMMANDS + 1),
            )
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


async def measure() -> bool:
    """Measure what has a target, and print; whether all targets are met."""
    async with runtime() as made:
        inside, straight = await per_command(made)
        early, late = await chain(made)
    cost, growth = inside - straight, late / early
    print(f"a command in a turn of {COMMANDS}: {inside:.2f} ms, straight {straight:.2f} ms")
    _print_target(f"  so the turn costs {cost:.2f} ms a command", PER_COMMAND, cost)
    print(f"turn 2 of a chain: {early:.1f} ms, turn {CHAIN}: {late:.1f} ms")
    _print_target(f"  so it grows {growth:.2f} times", GROWTH, growth)
    return cost <= PER_COMMAND and growth <= GROWTH


def _print_target(words: str, target: float, value: float) -> None:
    print(f"{words} (target {target}: {'met' if value <= target else 'NOT MET'})")


async def compare() -> None:
    """Print what many turns at once come to, beside another server of the API. It has no target."""
    print(f"{AT_ONCE} plain text turns at once, {ROUNDS} times, over HTTP and the same upstream:")
    async with servers.upstream() as url:
        for kind in (servers.ours, servers.two_workers, servers.ogx):
            with tempfile.TemporaryDirectory() as folder:
                try:
                    async with kind(url, Path(folder)) as server:
                        _print_load(await at_once(server))
                except servers.NotHere as why:
                    print(f"  {kind.__name__}: not measured, {why}")


def _print_load(load: Load) -> None:
    print(
        f"  {load.name:12} {load.a_second:7.1f} turns a second, p95 {load.p95:6.0f} ms,"
        f" {load.memory:5.0f} MB at most"
    )


async def both(beside: bool) -> bool:
    """All that is measured."""
    met = await measure()
    if beside:
        await compare()
    return met


def main() -> None:
    """Exit with 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--alone", action="store_true", help="measure nobody else, and install nothing")
    arguments = parser.parse_args()
    raise SystemExit(0 if asyncio.run(both(not arguments.alone)) else 1)


if __name__ == "__main__":
    main()
