"""Compare this build with an earlier one: both run in turn, and the medians of their paired ratios count.

    python -m benchmarks.against REV [--rounds 5] [--only turns,commands] [--json]

REV is checked out below `build/against/`, with a separate environment that is installed from its lock. Each
round runs both builds one after the other and the order alternates, so that a slow minute hits both. A ratio
below 1 means that this build is better. Needs a Docker Engine with the toolbox image, bubblewrap with the
toolbox, and an otherwise idle machine. The exit status is 1 if a figure exceeds its limit in every round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence

from benchmarks.against.builds import Build, earlier, present
from benchmarks.against.measures import MEASURES

LIMIT = 1.05
LIMITS = {"text turn": 1.15}
"""How much worse a figure may be, by the beginning of its name; `LIMIT` for all others."""

Ratios = Mapping[str, Sequence[float]]


def rounds(measure: str, builds: tuple[Build, Build], count: int) -> dict[str, list[float]]:
    """Measure both builds `count` times in turn; return the ratios of each figure, one a round."""
    ratios: dict[str, list[float]] = {}
    for number in range(count):
        order = builds if number % 2 == 0 else tuple(reversed(builds))
        found = {build.name: MEASURES[measure](build) for build in order}
        before, now = (found[build.name] for build in builds)
        for figure in before.keys() & now.keys():
            ratios.setdefault(figure, []).append(now[figure] / before[figure])
            print(
                f"  {measure}, round {number + 1}: {figure} {before[figure]:.3f} -> {now[figure]:.3f}",
                file=sys.stderr,
            )
    return ratios


def limit(figure: str) -> float:
    """Return how many times the earlier build's figure this one may be."""
    return next((value for start, value in LIMITS.items() if figure.startswith(start)), LIMIT)


def is_worse(figure: str, ratios: Sequence[float]) -> bool:
    """Tell whether the median is over the limit, and the best round is too: then it is not noise."""
    return statistics.median(ratios) > limit(figure) and min(ratios) > limit(figure)


def report(ratios: Ratios) -> str:
    """Return a line per figure: the median ratio, the spread of the rounds, the verdict."""
    lines = []
    for figure, found in sorted(ratios.items()):
        middle = statistics.median(found)
        verdict = (
            "worse" if is_worse(figure, found) else "over, within noise" if middle > limit(figure) else "ok"
        )
        spread = f"{min(found):.2f} to {max(found):.2f}"
        lines.append(f"{figure:<44}{middle:>7.2f}x   ({spread})   limit {limit(figure):.2f}   {verdict}")
    return "\n".join(lines)


def main() -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.against",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("revision", help="the earlier build: a commit, tag or branch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(MEASURES), help="measures, separated by commas")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    wanted = options.only.split(",")
    if unknown := set(wanted) - set(MEASURES):
        parser.error(f"no such measure: {', '.join(sorted(unknown))}; there are {', '.join(MEASURES)}")
    builds = (earlier(options.revision), present())
    ratios: dict[str, list[float]] = {}
    for measure in wanted:
        ratios |= rounds(measure, builds, options.rounds)
    if options.json:
        print(json.dumps(ratios, indent=1))
    else:
        print(report(ratios))
    return int(any(is_worse(figure, found) for figure, found in ratios.items()))


if __name__ == "__main__":
    sys.exit(main())
