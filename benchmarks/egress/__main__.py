"""What the way out of a sandbox costs: beside a direct connection and other proxies, in one run.

    python -m benchmarks.egress [--rounds 5] [--megabytes 256] [--only NAME ...] [--json]

Each round measures all paths one after the other. The ratios are medians over the rounds, each between
figures of the same round, because other work on the machine changes the figures themselves. The server and
the client are the same for all, and mitmproxy passes the connections untouched, as we do. The asyncio relay
is a proxy of 20 lines that checks nothing. "handed over" is a relay of two processes that checks nothing
either: one accepts, as boxd does, and the other carries, as the host does. Both are floors of the set-up in
Python. The set-up is from the begin of a connection to its first byte; what a name costs before that is a
figure of its own, as the clients of a proxy look none up. Memory is that of the host process, at its peak
while 200 downloads run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.egress.contenders import (
    PASSES_ALL,
    READS_HTTP,
    CannotError,
    Contender,
    direct,
    mitmproxy,
    sandboxed,
    tinyproxy,
)
from benchmarks.egress.ends import server
from benchmarks.egress.relay import asyncio_relay, handed_over

CONTENDERS: Mapping[str, Contender] = {
    "direct": direct,
    "tinyproxy": tinyproxy,
    "asyncio relay": asyncio_relay,
    "handed over": handed_over,
    "mitmproxy": mitmproxy(*PASSES_ALL),
    "mitmproxy, HTTP read": mitmproxy(*READS_HTTP),
    "bubblewrap": sandboxed("bubblewrap"),
    "bubblewrap, proxy": sandboxed("bubblewrap", proxy=True),
    "docker": sandboxed("docker"),
}
SMALL = 200
"""Connections of a set-up figure."""

PARALLEL, EACH = 200, 2 << 20
"""Downloads at once, and the bytes of each."""

TARGETS = (
    ("throughput", "direct", 0.3, True),
    ("throughput", "mitmproxy", 3.0, True),
    ("set-up", "tinyproxy", 1.5, False),
)
MEMORY = 64.0
"""Megabytes by which the host process may grow."""

Figures = dict[str, dict[str, list[float]]]
"""By contender, by figure: MB/s, ms, ms, or seconds of the parallel downloads, one for each round."""


async def measure(names: Sequence[str], rounds: int, megabytes: int) -> tuple[Figures, dict[str, float]]:
    """Return the figures, and by how many megabytes this process grew during the downloads at once."""
    figures: Figures = {name: {} for name in names}
    grown: dict[str, float] = {}
    with server() as port:
        async with contextlib.AsyncExitStack() as stack:
            paths = {}
            for name in names:
                try:
                    paths[name] = await stack.enter_async_context(CONTENDERS[name](port))
                except CannotError as error:
                    print(f"{name} is left out: {error}", file=sys.stderr)
            for _ in range(rounds):
                for name, path in paths.items():
                    seconds = await path.seconds("download", megabytes << 20, 1)
                    figures[name].setdefault("throughput", []).append(megabytes * 1.048576 / seconds)
                for name, path in paths.items():
                    seconds = await path.seconds("set-up", 1, SMALL)
                    figures[name].setdefault("set-up", []).append(seconds * 1000)
                    seconds = await path.seconds("name", 1, SMALL)
                    figures[name].setdefault("name", []).append(seconds * 1000)
            for name, path in paths.items():
                before = resident()
                forget_peak()
                seconds = await path.seconds("download", EACH, PARALLEL)
                figures[name]["parallel"] = [seconds]
                grown[name] = peak() - before
    return figures, grown


def resident(field: str = "VmRSS") -> float:
    """Return a size of this process in megabytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (value,) = [line.split()[1] for line in lines if line.startswith(f"{field}:")]
    return int(value) * 1024 / 1e6


def forget_peak() -> None:
    """Let the peak begin with the present size."""
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> float:
    """Return the largest size since `forget_peak`, in megabytes."""
    return resident("VmHWM")


def ratio(figures: Figures, figure: str, name: str, other: str) -> float | None:
    """Return the median of the rounds' ratios, or None where one of the paths was not measured."""
    ours, theirs = figures.get(name, {}).get(figure), figures.get(other, {}).get(figure)
    if not ours or not theirs:
        return None
    return statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))


def report(figures: Figures, grown: Mapping[str, float]) -> str:
    """Return the table, and each target beside what was found."""
    first, *more = ("one stream, MB/s", "set-up, ms", "name, ms", "200 at once, s", "growth, MB")
    lines = [f"{'':<22}{first:>18}{more[0]:>14}{more[1]:>10}{more[2]:>16}{more[3]:>12}"]
    for name, found in figures.items():
        if found:
            medians = [statistics.median(found[figure]) for figure in COLUMNS]
            line = f"{name:<22}{medians[0]:>18.0f}{medians[1]:>14.2f}{medians[2]:>10.2f}{medians[3]:>16.2f}"
            lines.append(line + (f"{grown[name]:>12.1f}" if name in OURS else ""))
    for name in OURS:
        for figure, other, limit, least in TARGETS:
            found_ratio = ratio(figures, figure, name, other)
            if found_ratio is not None:
                met = found_ratio >= limit if least else found_ratio <= limit
                bound = f"at {'least' if least else 'most'} {limit:g}"
                words = f"{name} / {other}, {figure}"
                lines.append(f"{words:<46}{found_ratio:>8.2f} x  ({bound}){'' if met else '  NOT MET'}")
        if name in grown:
            missed = "" if grown[name] <= MEMORY else "  NOT MET"
            lines.append(f"{name + ', growth':<46}{grown[name]:>8.1f} MB (at most {MEMORY:g}){missed}")
    return "\n".join(lines)


COLUMNS = ("throughput", "set-up", "name", "parallel")
OURS = ("bubblewrap", "bubblewrap, proxy", "docker")


def main() -> None:
    """Print the table, or the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures, grown = asyncio.run(measure(options.only, options.rounds, options.megabytes))
    print(json.dumps({"figures": figures, "growth": grown}) if options.json else report(figures, grown))


if __name__ == "__main__":
    main()
