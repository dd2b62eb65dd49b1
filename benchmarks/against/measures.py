"""What is measured of a build: each measure returns figures by name, smaller is better."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from benchmarks.against.builds import Build
from benchmarks.against.serving import serving, upstream

Figures = dict[str, float]
TURNS = 150
COMMANDS = 50
STEPS = {"AGENT_KERNEL_MAX_STEPS": str(COMMANDS + 1)}
OURS = {"agent-kernel, docker": "docker", "agent-kernel, bubblewrap": "bubblewrap"}
RATES = ("output",)
"""Columns of the sandbox benchmark in which more is better."""

SCRIPT = "name: benchmark\nturns:\n  - when: many\n    do:\n" + (
    "      - shell: 'true'\n" * COMMANDS + "      - say: done\n"
)


def commands(build: Build) -> Figures:
    """Milliseconds of a warm command, per backend."""
    found = json.loads(build.output("benchmarks/command_latency.py", "--json", "--runs", "200"))
    return {f"warm command, {name}": found["milliseconds"][name] for name in OURS.values()}


def kernel(build: Build) -> Figures:
    """Seconds from a kernel's start to its first idle, and megabytes then."""
    found = json.loads(build.output("benchmarks/kernel_start.py", "--json", "--rounds", "3"))["agent"]
    return {"kernel start, seconds": found["seconds"], "kernel start, memory": found["megabytes"]}


def sandboxes(build: Build) -> Figures:
    """Start, pool, transfers, checkpoints and memory, per backend."""
    wanted = ("--only", "first,pool,output,upload,checkpoint,crowd", "--contenders", ";".join(OURS))
    found = json.loads(build.output("-m", "benchmarks.sandboxes", "--json", *wanted))["figures"]
    figures = {}
    for contender, name in OURS.items():
        for column, value in found[contender].items():
            if isinstance(value, float) and value > 0:
                figures[f"sandbox {column}, {name}"] = 1 / value if column in RATES else value
    return figures


def turns(build: Build) -> Figures:
    """A plain text turn over HTTP, with each kind of upstream, and a command within a turn.

    Both in wall time and in processor time of the server; the latter says something on a busy machine too.
    """
    with tempfile.TemporaryDirectory() as folder, upstream(build) as url_of_model:
        figures: Figures = {}
        for dialect, name in (("chat", "text turn"), ("responses", "text turn, Responses upstream")):
            with serving(build, folder, "--upstream-url", url_of_model, "--model", f"{dialect}/m") as (
                url,
                pid,
            ):
                figures |= asyncio.run(_text_turns(url, pid, name))
        script = Path(folder, "benchmark.yaml")
        script.write_text(SCRIPT)
        with serving(build, folder, "--model", f"scripted/{script}", settings=STEPS) as (url, pid):
            figures |= _command_turns(url, pid)
    return figures


async def _text_turns(url: str, pid: int, name: str) -> Figures:
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        for _ in range(20):
            await _turn(client, "talk")
        cpu, begun = _cpu_seconds(pid), time.perf_counter()
        for _ in range(TURNS):
            await _turn(client, "talk")
        seconds, used = time.perf_counter() - begun, _cpu_seconds(pid) - cpu
    return {f"{name}, server CPU ms": used / TURNS * 1000, f"{name}, ms": seconds / TURNS * 1000}


def _command_turns(url: str, pid: int) -> Figures:
    async def run() -> Figures:
        async with httpx.AsyncClient(base_url=url, timeout=120) as client:
            tools = [{"type": "shell", "environment": {"type": "container_auto"}}]
            first = await _turn(client, "many", tools=tools)
            begun, times, cpu = first, [], _cpu_seconds(pid)
            for _ in range(5):
                start = time.perf_counter()
                begun = await _turn(client, "many", tools=tools, previous_response_id=begun["id"])
                times.append(time.perf_counter() - start)
            used = (_cpu_seconds(pid) - cpu) / len(times)
            environment = first["tools"][0]["environment"]
            (await client.delete(f"containers/{environment['container_id']}")).raise_for_status()
            return {
                "command in a turn, ms": min(times) / COMMANDS * 1000,
                "command in a turn, server CPU ms": used / COMMANDS * 1000,
            }

    return asyncio.run(run())


async def _turn(client: httpx.AsyncClient, text: str, **request: Any) -> dict[str, Any]:
    last: dict[str, Any] = {}
    completed = False
    body = {"input": text, "stream": True, **request}
    async with client.stream("POST", "responses", json=body) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            if line == "event: response.completed":
                completed = True
            elif completed and line.startswith("data: "):
                last = json.loads(line.removeprefix("data: "))["response"]
    if not last:
        raise RuntimeError(f"the turn {text!r} did not complete")
    return last


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


MEASURES: dict[str, Callable[[Build], Figures]] = {
    "turns": turns,
    "commands": commands,
    "kernel": kernel,
    "sandboxes": sandboxes,
}
