"""Text turns over HTTP: many at once, and the first delta of one."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager

from benchmarks.against.builds import HERE, Build
from benchmarks.against.serving import serving, upstream
from benchmarks.speed.bench import Bench, Figures
from benchmarks.speed.client import Client
from benchmarks.turns import servers

AT_ONCE = 50
TIMES = 3
"""How often so many turns begin together in a round."""
FIRST_WORD, BETWEEN = "20", "4"
"""Milliseconds that the model takes."""
DIALECTS = {
    "Chat": ("chat/m", "chat/completions", b'"content": "word'),
    "Responses": ("responses/m", "responses", b"response.output_text.delta"),
}
COMPLETED = b'"response.completed"'


async def load(bench: Bench) -> AsyncIterator[Figures]:
    """So many text turns at once: turns a second, p95, memory; two workers and ogx beside."""
    async with _loaded(bench) as loads:
        for each in loads.values():
            await each.turns(1)
        for number in range(bench.sizes.rounds):
            figures: Figures = {}
            names = [*bench.in_order(number), *(name for name in loads if name not in ("now", "before"))]
            for name in names:
                rate, p95 = await loads[name].turns(TIMES if name != "ogx" else 1)
                memory = loads[name].served.memory()
                figures |= {f"{name} a second": rate, f"{name} p95 ms": p95, f"{name} MB": memory}
            yield figures


class _Load:
    def __init__(self, served: servers.Served) -> None:
        self.served = served
        self._clients = [Client(served.url) for _ in range(AT_ONCE)]

    async def turns(self, times: int) -> tuple[float, float]:
        """Turns a second, and p95 of a turn in milliseconds."""
        body = {"model": self.served.model, "input": "talk", "stream": True}
        spent: list[float] = []
        begun = asyncio.get_running_loop().time()
        for _ in range(times):
            asked = (client.ask("responses", body, COMPLETED) for client in self._clients)
            spent += [answer.ended for answer in await asyncio.gather(*asked)]
        seconds = asyncio.get_running_loop().time() - begun
        return len(spent) / seconds, sorted(spent)[int(len(spent) * 0.95)]

    async def aclose(self) -> None:
        for client in self._clients:
            await client.aclose()


@asynccontextmanager
async def _loaded(bench: Bench) -> AsyncIterator[Mapping[str, _Load]]:
    with ExitStack() as stack:
        async with AsyncExitStack() as later:
            url = stack.enter_context(upstream(bench.now))
            served = {}
            for name, build, more in (
                ("before", bench.before, ()),
                ("now", bench.now, ()),
                ("two workers", bench.now, ("--workers", "2")),
            ):
                options = ("--upstream-url", url, "--model", "chat/m", *more)
                at, pid = stack.enter_context(serving(build, str(bench.folder), *options))
                served[name] = servers.Served(name, at, "chat/m", pid)
            try:
                data = bench.folder / "ogx"
                data.mkdir()
                served["ogx"] = await later.enter_async_context(servers.ogx(url, data))
            except servers.NotHere as why:
                print(f"  ogx is not measured: {why}", file=sys.stderr)
            loads = {name: _Load(each) for name, each in served.items()}
            for each in loads.values():
                later.push_async_callback(each.aclose)
            yield loads


async def first_delta(bench: Bench) -> AsyncIterator[Figures]:
    """Milliseconds that a server adds until the first delta, over asking the model's server directly."""
    with ExitStack() as stack:
        url = stack.enter_context(upstream(bench.now, FIRST_WORD, BETWEEN))
        clients = {"directly": Client(url)}
        for build in (bench.before, bench.now):
            options = ("--upstream-url", url, "--model", "chat/m")
            clients[build.name] = Client(stack.enter_context(serving(build, str(bench.folder), *options))[0])
        clients["forwarding"] = Client(stack.enter_context(forwarding(bench.now, url)))
        for number in range(-1, bench.sizes.rounds):
            figures: Figures = {}
            for dialect in DIALECTS:
                figures |= await _added(bench, clients, dialect, number)
            if number >= 0:  # the round before them warms up
                yield figures
        for client in clients.values():
            await client.aclose()


@contextmanager
def forwarding(build: Build, url: str) -> Iterator[str]:
    """Run a server that only passes turns on; yield its base URL."""
    program = str(HERE / "benchmarks" / "speed" / "programs" / "forwarding.py")
    with subprocess.Popen([build.python, program, url], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


async def _added(bench: Bench, clients: Mapping[str, Client], dialect: str, number: int) -> Figures:
    model, path, words = DIALECTS[dialect]
    message = [{"role": "user", "content": "talk"}]
    direct = {"model": "m", "messages": message, "stream": True} | {"input": "talk"}
    found: dict[str, list[float]] = {"before": [], "now": [], "forwarding": []}
    for pair in range(bench.sizes.pairs):
        alone = (await clients["directly"].ask(path, direct, words)).found
        for name in (*bench.in_order(number + pair), "forwarding"):
            body = {"model": model, "input": "talk", "stream": True}
            answer = await clients[name].ask("responses", body, b"response.output_text.delta")
            found[name].append(answer.found - alone)
    return {f"{name} {dialect} adds ms": statistics.median(times) for name, times in found.items()}
