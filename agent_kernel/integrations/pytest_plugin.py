"""A pytest plugin: `pytest --agent-kernel notebooks/` replays notebooks with their cassettes.

It stands on nbval, which runs the cells and compares their outputs. A cell whose commands printed something
else than recorded fails with a report of cell, command and difference. Without the option it does nothing,
and importing it loads nothing.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

DRIFT_MIME = "application/vnd.agent-kernel.drift+json"
MAX_NOTEBOOK = 256 << 20
CLOSE_SECONDS = 60.0
"""Seconds for a kernel to end with its container, on a machine that is busy."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--agent-kernel` and what belongs to it."""
    group = parser.getgroup("agent-kernel", "Agent notebooks")
    group.addoption(
        "--agent-kernel",
        action="store_true",
        help="replay notebooks of the Agent kernel with their cassettes, and compare all outputs. "
        "With --nbval-lax only what commands printed is compared.",
    )
    group.addoption(
        "--agent-kernel-cassettes",
        metavar="FOLDER",
        default="cassettes",
        help="folder of the cassettes, from each notebook (default: %(default)s)",
    )
    group.addoption(
        "--agent-kernel-drift",
        choices=("fail", "warn", "ignore"),
        default="fail",
        help="what a difference does where the notebook does not say (default: %(default)s)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Check that nbval is there. Raises `pytest.UsageError`."""
    if config.option.agent_kernel and not hasattr(config.option, "nbval_lax"):
        raise pytest.UsageError(
            '--agent-kernel needs nbval: pip install "jupyter-agent-kernel[pytest]". '
            "Where plugins are not loaded by themselves, add -p nbval.plugin"
        )


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Generator[None, Any, Any]:
    """Collect notebooks of the Agent kernel in place of nbval."""
    found = yield
    if not parent.config.option.agent_kernel or not is_agent_notebook(file_path):
        return found
    notebook, _ = _classes()
    others = [each for each in found if not isinstance(each, notebook.__mro__[1])]
    return [*others, notebook.from_parent(parent, path=file_path)]


def is_agent_notebook(path: Path) -> bool:
    """Return whether a file is a notebook of the Agent kernel."""
    if path.suffix != ".ipynb":
        return False
    try:
        metadata = json.loads(path.read_bytes())["metadata"] if path.stat().st_size <= MAX_NOTEBOOK else {}
        spec = metadata.get("kernelspec") or metadata.get("language_info") or {}
        return "agent" in (spec.get("language"), spec.get("name"))
    except (OSError, ValueError, LookupError, AttributeError, RecursionError):
        return False


@cache
def _classes() -> tuple[Any, Any]:
    """Return the classes of a notebook and of a cell, which need nbval."""
    from nbval.plugin import IPyNbCell, IPyNbFile

    class ReplayedCell(IPyNbCell):
        """A cell that is run against a cassette."""

        def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
            """Show the drift reports of the cell, if it has any, else what nbval shows."""
            found = [each.get("data") or {} for each in self.test_outputs or ()]
            reports = [str(data.get("text/plain")) for data in found if DRIFT_MIME in data]
            if not reports:
                base: Any = super()
                return base.repr_failure(excinfo)
            return "\n".join([f"{self.path.name}, code cell {self.cell_num}: drift", *reports])

    class ReplayedNotebook(IPyNbFile):
        """A notebook whose kernel plays its cassette."""

        def setup(self) -> None:
            """Start the kernel with the cassette as its model."""
            option = self.config.option
            cassette = self.path.parent / option.agent_kernel_cassettes / f"{self.path.stem}.yaml"
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("AGENT_KERNEL_MODEL", f"replay/{cassette.absolute()}")
                patch.setenv("AGENT_KERNEL_NOTEBOOK", str(self.path.absolute()))
                patch.setenv("AGENT_KERNEL_DRIFT", option.agent_kernel_drift)
                patch.setenv("AGENT_KERNEL_RECORD", "")
                base: Any = super()
                base.setup()

        def teardown(self) -> None:
            """Let the kernel end by itself, so that its container ends with it; nbval kills it."""
            kernel: Any = self.kernel
            if kernel is not None and kernel.is_alive():
                kernel.kc.stop_channels()
                kernel.km.shutdown_wait_time = CLOSE_SECONDS
                kernel.km.shutdown_kernel(now=False)

        def collect(self) -> Iterator[Any]:
            """Yield the code cells."""
            base: Any = super()
            for cell in base.collect():
                fields = {name: getattr(cell, name) for name in ("cell_num", "cell", "options")}
                yield ReplayedCell.from_parent(self, name=cell.name, **fields)

    return ReplayedNotebook, ReplayedCell
