"""Every limit on speed, in one run and one table.

    python -m benchmarks.speed REV [--quick] [--only load,starts] [--json]

REV is the earlier build, checked out below `build/against/` with an environment of its own. Both builds run
in turn in each round, and the median of the rounds' ratios counts. Needs a Docker Engine with the toolbox
image, bubblewrap with the toolbox, and an otherwise idle machine; takes about a quarter of an hour, `--quick`
a few minutes with fewer and smaller rounds. The exit status is 1 if a limit is not met.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.against.builds import Build, earlier, present
from benchmarks.speed.answers import first_delta, load
from benchmarks.speed.bench import QUICK, Bench, Figures, Measure, Sizes
from benchmarks.speed.limits import LIMITS, Limit
from benchmarks.speed.others import kernel, stores
from benchmarks.speed.sandboxes import commands, starts, uploads

MEASURES: dict[str, Measure] = {
    "load": load,
    "first_delta": first_delta,
    "starts": starts,
    "commands": commands,
    "uploads": uploads,
    "stores": stores,
    "kernel": kernel,
}
Rounds = Mapping[str, Sequence[Figures]]


async def measure(bench: Bench, wanted: Sequence[str]) -> dict[str, list[Figures]]:
    """Return all rounds by measure. One that fails is told and left out."""
    found: dict[str, list[Figures]] = {}
    for name in wanted:
        begun, found[name] = time.perf_counter(), []
        try:
            async for figures in MEASURES[name](bench):
                found[name].append(figures)
        except Exception as error:  # noqa: BLE001 (the others are measured nevertheless)
            print(f"  {name} failed: {type(error).__name__}: {error}", file=sys.stderr)
        print(f"  {name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    return found


def table(found: Rounds) -> str:
    """A line per limit: the median ratio, the spread, the limit, the verdict; then all figures."""
    lines = [f"{'':<50}{'ratio':>8}   {'rounds':<16}limit"]
    lines += [_line(limit, found[limit.measure]) for limit in LIMITS if limit.measure in found]
    lines += ["", "medians of the rounds"]
    for measured in found.values():
        names = sorted({name for figures in measured for name in figures})
        lines += [
            f"  {name:<48}{statistics.median(each[name] for each in measured if name in each):>10.2f}"
            for name in names
        ]
    return "\n".join(lines)


def _line(limit: Limit, rounds: Sequence[Figures]) -> str:
    ratios = limit.ratios(rounds)
    if not ratios:
        return f"{limit.words:<50}{'not measured':>12}"
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    bound = f">= {limit.least:g}" if limit.least is not None else f"<= {limit.most:g}" if limit.most else ""
    word = {None: "", True: "MET", False: "NOT MET"}[limit.met(ratios)]
    return f"{limit.words:<50}{statistics.median(ratios):>8.2f}   {spread:<16}{bound:<8}{word}".rstrip()


def met(found: Rounds) -> bool:
    """Whether all limits of what was wanted are met; what could not be measured is not."""
    judged = [limit for limit in LIMITS if limit.measure in found and (limit.most or limit.least)]
    return all(limit.met(limit.ratios(found[limit.measure])) for limit in judged)


def main() -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("revision", help="the earlier build: a commit, tag or branch")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller rounds")
    parser.add_argument("--only", default=",".join(MEASURES), help="measures, separated by commas")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    wanted = options.only.split(",")
    if unknown := set(wanted) - set(MEASURES):
        parser.error(f"no such measure: {', '.join(sorted(unknown))}; there are {', '.join(MEASURES)}")
    builds: tuple[Build, Build] = (earlier(options.revision), present())
    with tempfile.TemporaryDirectory(prefix="agent-kernel-speed-") as folder:
        bench = Bench(*builds, QUICK if options.quick else Sizes(), Path(folder))
        found = asyncio.run(measure(bench, wanted))
    print(json.dumps(found, indent=1) if options.json else table(found))
    return int(not met(found))


if __name__ == "__main__":
    sys.exit(main())
