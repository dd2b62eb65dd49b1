"""Our sandboxes beside what people use instead, in one run and one table.

    python -m benchmarks.sandboxes [--quick] [--only warm,first ...] [--json]

Needs a Docker Engine with the toolbox image, bubblewrap with the toolbox, and for the peers the extra
`benchmarks`. A peer that is missing or fails is in the table with the reason. The figures are of this machine
at this moment; what counts are the ratios, and the targets under the table. The exit status is 0 whether they
are met or not: a busy machine is no failure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from agent_kernel.config import RuntimeSettings
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.sandboxes.toolbox import Toolbox
from benchmarks.sandboxes import report
from benchmarks.sandboxes.contenders import (
    CannotError,
    Contender,
    DockerCli,
    DockerPy,
    OursInBubblewrap,
    OursInDocker,
)
from benchmarks.sandboxes.floors import BarePipe, BarePipeInDocker, DockerRun
from benchmarks.sandboxes.measures import MEASURES, QUICK, Figures, Measure, Sizes, crowd
from benchmarks.sandboxes.peers import PEERS

STEP_SECONDS = 60.0
"""For one round of one contender; some gather output in time that grows with its square."""

Make = Callable[[], Contender]
EVERYTHING = (*MEASURES, "crowd")
PARTIAL = {
    "bare pipe, no sandbox": ("warm",),
    "bare pipe in Docker": ("warm",),
    "docker run": ("first",),
    "docker run --network none": ("first",),
}
"""The floors are there for one figure each."""
POOLED = (report.DOCKER, report.EMBEDDED)
CROWDS = (report.DOCKER, report.EMBEDDED, "docker exec")
COMMANDS = 20
"""How many commands each sandbox of a crowd runs, in turn and again together."""


def contenders(folder: Path) -> dict[str, Make]:
    """How each is made, by name, in the order of the table."""
    toolbox = Toolbox(RuntimeSettings().data_path())
    peers: dict[str, Make] = {peer.name: peer for peer in PEERS}
    return {
        "bare pipe, no sandbox": BarePipe,
        "bare pipe in Docker": BarePipeInDocker,
        "docker run": lambda: DockerRun("docker run"),
        "docker run --network none": lambda: DockerRun("docker run --network none", "--network", "none"),
        DockerCli.name: DockerCli,
        DockerPy.name: DockerPy,
        **peers,
        report.DOCKER: lambda: OursInDocker(DockerBackend()),
        report.EMBEDDED: lambda: OursInBubblewrap(BubblewrapBackend(folder, toolbox), folder),
    }


class Row:
    """A contender while one thing is measured: what it has shown so far, or why it shows nothing."""

    def __init__(self, name: str, make: Make) -> None:
        self.name = name
        self._make = make
        self._made: list[Contender] = []
        self.failure: str | None = None
        self.samples: dict[str, list[float]] = {}

    async def take(self, step: Callable[[Contender], Awaitable[dict[str, list[float]] | None]]) -> None:
        """Take a step with the contender, unless an earlier one has failed."""
        if self.failure is not None:
            return
        began = time.perf_counter()
        try:
            if not self._made:
                self._made.append(self._make())
            async with asyncio.timeout(STEP_SECONDS):
                taken = await step(self._made[0]) or {}
            for figure, values in taken.items():
                self.samples.setdefault(figure, []).extend(values)
        except TimeoutError:
            self.failure = f"{self.name}: not done in {STEP_SECONDS:.0f} s"
            await self._made[0].stop()  # what still runs is not to disturb the others
        except Exception as error:  # noqa: BLE001 (a peer's failure is a result, whatever it raises)
            self._fail(error)
        print(f"  {self.name}, {time.perf_counter() - began:.1f} s", file=sys.stderr)

    async def crowd(self, sizes: Sizes) -> Figures:
        """Measure many of it at once."""
        try:
            for _ in range(sizes.crowd):  # one by one: those made are closed even if one fails
                beside = self._made[0].another() if self._made else None
                self._made.append(beside or self._make())
            return await crowd(self._made, COMMANDS if sizes.crowd > 10 else 3)
        except Exception as error:  # noqa: BLE001 (as above)
            self._fail(error)
            return {}

    def _fail(self, error: Exception) -> None:
        told = f"{self.name}: {type(error).__name__}: {str(error)[:160]}"
        self.failure = str(error) if isinstance(error, CannotError) else told

    async def aclose(self) -> None:
        """Remove what is left of the contender."""
        for contender in self._made:
            await contender.stop()
        for contender in self._made:
            await contender.aclose()


async def rounds(rows: Sequence[Row], measure: Measure) -> dict[str, Figures]:
    """All rounds of one measure, and what each contender has shown."""
    for row in rows:
        await row.take(measure.begin)
    for _ in range(measure.rounds):
        for row in rows:
            await row.take(measure.sample)
    return {row.name: measure.figures(row.samples) for row in rows if row.failure is None}


async def measure(sizes: Sizes, wanted: list[str], only: list[str]) -> dict[str, dict[str, float | str]]:
    """All figures, by contender."""
    with tempfile.TemporaryDirectory(prefix="agent-kernel-bench-") as name:
        folder = Path(name)
        _write(folder / "upload", sizes.upload if "upload" in wanted else 0)
        everybody = {each: make for each, make in contenders(folder).items() if not only or each in only}
        cells: dict[str, dict[str, float | str]] = {each: {} for each in everybody}
        for what in wanted:
            print(what, file=sys.stderr)
            rows = [Row(each, make) for each, make in everybody.items() if _takes_part(each, what)]
            try:
                if what == "crowd":
                    found = {row.name: await row.crowd(sizes) for row in rows}
                else:
                    found = await rounds(rows, MEASURES[what](sizes, folder))
            finally:
                for row in rows:
                    await row.aclose()
            for row in rows:
                cells[row.name] |= found.get(row.name, {}) if row.failure is None else {what: row.failure}
    return cells


def _takes_part(name: str, what: str) -> bool:
    chosen = {"crowd": CROWDS, "pool": POOLED}
    return name in chosen[what] if what in chosen else what in PARTIAL.get(name, EVERYTHING)


def _write(path: Path, size: int) -> None:
    """A file without holes that does not compress."""
    with path.open("wb") as file:
        while (left := size - file.tell()) > 0:
            file.write(os.urandom(min(left, 1 << 24)))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sandboxes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="small amounts, no figures to quote")
    parser.add_argument("--only", default=",".join(EVERYTHING), help="measures, separated by commas")
    parser.add_argument("--contenders", default="", help="their names, separated by semicolons (all)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    wanted = options.only.split(",")
    if unknown := set(wanted) - set(EVERYTHING):
        parser.error(f"no such measure: {', '.join(sorted(unknown))}; there are {', '.join(EVERYTHING)}")
    only = [each for each in options.contenders.split(";") if each]
    cells = asyncio.run(measure(QUICK if options.quick else Sizes(), wanted, only))
    if options.json:
        found = {"figures": cells, "targets": report.judged(cells), "ratios": report.ratios(cells)}
        json.dump(found, sys.stdout, indent=1)
        return 0
    print(report.table(cells))
    print()
    print(report.verdicts(cells))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
