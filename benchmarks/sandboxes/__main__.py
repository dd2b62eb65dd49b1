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
from collections.abc import Callable
from pathlib import Path

from agent_kernel.config import RuntimeSettings
from agent_kernel.sandboxes.bubblewrap import BubblewrapBackend
from agent_kernel.sandboxes.docker import DockerBackend
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
from benchmarks.sandboxes.measures import MEASURES, QUICK, Figures, Sizes, crowd
from benchmarks.sandboxes.peers import PEERS

Make = Callable[[], Contender]
EVERYTHING = (*MEASURES, "crowd")
PARTIAL = {
    "bare pipe, no sandbox": ("warm",),
    "bare pipe in Docker": ("warm",),
    "docker run": ("first",),
    "docker run --network none": ("first",),
}
"""The floors are there for one figure each."""
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


async def found_by(name: str, make: Make, what: str, sizes: Sizes, folder: Path) -> dict[str, float | str]:
    """One measure of one contender: figures, or why there are none."""
    made: list[Contender] = []
    try:
        if what == "crowd":
            for _ in range(sizes.crowd):
                made.append(make())  # one by one: those made are closed even if one fails
            return dict(await crowd(made, COMMANDS if sizes.crowd > 10 else 3))
        made.append(make())
        figures: Figures = await MEASURES[what](made[0], sizes, folder)
        return dict(figures)
    except CannotError as reason:
        return {what: str(reason)}
    except Exception as error:  # noqa: BLE001 (a peer's failure is a result, whatever it raises)
        return {what: f"{name}: {type(error).__name__}: {str(error)[:160]}"}
    finally:
        for contender in made:
            await contender.aclose()


async def measure(sizes: Sizes, wanted: list[str], only: list[str]) -> dict[str, dict[str, float | str]]:
    """All figures. One measure after the other, so that what is compared was measured close together."""
    cells: dict[str, dict[str, float | str]] = {}
    with tempfile.TemporaryDirectory(prefix="agent-kernel-bench-") as name:
        folder = Path(name)
        _write(folder / "upload", sizes.upload if "upload" in wanted else 0)
        everybody = {each: make for each, make in contenders(folder).items() if not only or each in only}
        for what in wanted:
            for each, make in everybody.items():
                row = cells.setdefault(each, {})
                if what in PARTIAL.get(each, EVERYTHING) and (what != "crowd" or each in CROWDS):
                    began = time.perf_counter()
                    row |= await found_by(each, make, what, sizes, folder)
                    print(f"{what}: {each}, {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return cells


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
