"""What a turn costs in a large store, and late in a chain, against one in an empty store, in one run.

    python -m benchmarks.turns.stores [--responses 200000] [--chain 2000] [--json]

Limits: a turn in the large store 1.1 times, opening it 3 times, the late turn 1.2 times, and p95 of turns
while old responses expire 1.5 times. Turns are measured in pairs; the median of their ratios counts.
The model answers at once, in a process of its own; processor time is this process's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from agent_kernel.models.catalogue import Models
from agent_kernel.protocol.sse import encode
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.store.base import Store
from agent_kernel.store.records import Finish, ResponseRow
from agent_kernel.store.sqlite.store import sqlite_store
from benchmarks.turns import servers

PAIRS = 60
OLD = 1_000_000.0
"""When the responses of the large store were made, in seconds since 1970."""


def _message(role: str, number: int) -> dict[str, Any]:
    kind = "input_text" if role == "user" else "output_text"
    content = [{"type": kind, "text": "word " * 50, "annotations": []}]
    return {"id": f"msg_{role}_{number}", "type": "message", "role": role, "content": content}


def _row(number: int, chain: int, made: float) -> ResponseRow:
    """Return a response of a chain of that many."""
    before = f"resp_{made}_{number - 1}" if number % chain else None
    given, said = [_message("user", number)], [_message("assistant", number)]
    return ResponseRow(
        f"resp_{made}_{number}", made + number, "completed", "m", before, None, {}, given, {"output": said}
    )


async def fill(folder: Path, count: int, chain: int, made: float) -> str:
    """Put responses into a store; return the id of the last one."""
    store, last = sqlite_store(folder), ""
    for number in range(count):
        row = _row(number, chain, made)
        await store.rows.put_response(row)
        await store.rows.finish_response(Finish(row, (), False, True, ()))
        last = row.id
    await store.aclose()
    return last


@asynccontextmanager
async def runtime(folder: Path, url: str, **parts: Any) -> AsyncIterator[LocalRuntime]:
    """A runtime on this store, whose model is the upstream at `url`."""
    store: Store = sqlite_store(folder)
    models = Models(upstream_url=url, upstream_key=None, default="chat/m")
    made = LocalRuntime(RuntimeParts(models=models, backend=_no_sandbox, store=store, **parts))
    try:
        yield made
    finally:
        await made.aclose()


def _no_sandbox() -> Any:
    raise RuntimeError("These turns need no sandbox.")


async def turn(made: LocalRuntime, previous: str | None = None) -> tuple[float, float, str]:
    """Run a turn: its processor seconds, its wall seconds, its response's id."""
    request = {"input": "talk"} | ({"previous_response_id": previous} if previous else {})
    used, begun, response_id = time.process_time(), time.perf_counter(), ""
    async with aclosing(made.respond(request)) as events:
        async for event in events:
            encode(event)
            if event.type == "response.completed":
                response_id = event.response.id
    assert response_id, "the turn did not complete"
    return time.process_time() - used, time.perf_counter() - begun, response_id


async def opening(folder: Path, url: str) -> float:
    """Seconds from nothing to the end of a first turn, without those that a second one takes."""
    begun = time.perf_counter()
    async with runtime(folder, url) as made:
        await turn(made)
        first = time.perf_counter() - begun
        return first - (await turn(made))[1]


async def paired(one: LocalRuntime, other: LocalRuntime, last: str | None = None) -> float:
    """Return the median of the other's processor time over the one's, turn by turn; `last` is continued."""
    previous = last
    ratios = []
    for _ in range(PAIRS):
        _, _, early = await turn(one)
        spent = (await turn(one, early))[0]
        used, _, made = await turn(other, previous or early if last else (await turn(other))[2])
        previous = made if last else None
        ratios.append(used / spent)
    return statistics.median(ratios)


async def p95(made: LocalRuntime, until: asyncio.Future[Any] | None = None) -> tuple[float, int]:
    """Return p95 of turns in seconds, and how many there were, while something goes on or `PAIRS` times."""
    times: list[float] = []
    while len(times) < PAIRS if until is None else not until.done():
        times.append((await turn(made))[1])
    return sorted(times)[int(len(times) * 0.95)], len(times)


async def measure(responses: int, chain: int) -> dict[str, float]:
    """Return each ratio."""
    with tempfile.TemporaryDirectory() as folder:
        empty, large, long = (Path(folder, name) for name in ("empty", "large", "long"))
        await fill(large, responses, 20, OLD)
        last = await fill(long, chain - 1, chain, time.time())
        async with servers.upstream() as url:
            await opening(empty, url)  # imports
            found = {"opening": await opening(large, url) / await opening(empty, url)}
            async with runtime(empty, url) as small, runtime(large, url) as big, runtime(long, url) as late:
                found["chain"] = await paired(small, late, last)
                found["large"] = await paired(small, big)
                quiet, _ = await p95(big)
                expiry = asyncio.ensure_future(big._rows.expire_responses(time.time() - 3600))
                busy, found["turns during expiry"] = await p95(big, expiry)
                found["expiry"] = busy / quiet
    return found


def report(found: Mapping[str, float], responses: int, chain: int) -> bool:
    """Print each ratio and its limit; whether all are met."""
    told = {
        "opening": ("opening the large store / an empty one", 3.0),
        "chain": (f"turn {chain:,} of a chain / turn 2", 1.2),
        "large": (f"turn in a store with {responses:,} / empty", 1.1),
        "expiry": (f"p95 of {found['turns during expiry']:.0f} turns during expiry / without", 1.5),
    }
    for name, (words, limit) in told.items():
        verdict = "met" if found[name] <= limit else "NOT MET"
        print(f"{words}: {found[name]:.2f} (limit {limit}: {verdict})")
    return all(found[name] <= limit for name, (_, limit) in told.items())


def main() -> None:
    """Exit with 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--responses", type=int, default=200_000)
    parser.add_argument("--chain", type=int, default=2_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = asyncio.run(measure(arguments.responses, arguments.chain))
    if arguments.json:
        print(json.dumps(found))
        return
    raise SystemExit(0 if report(found, arguments.responses, arguments.chain) else 1)


if __name__ == "__main__":
    main()
