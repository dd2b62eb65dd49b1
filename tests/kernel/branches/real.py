"""A notebook without Jupyter on a real runtime: cells run by the kernel's own runner."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agent_kernel.kernel.cell_run import CellRunner, SubmittedCell
from agent_kernel.kernel.front_end import FrontEnd
from agent_kernel.kernel.notebook import Notebook
from agent_kernel.kernel.outputs import CellOutputs
from agent_kernel.kernel.settings import KernelSettings
from agent_kernel.kernel.transfer.mentions import attach
from agent_kernel.models.catalogue import Models
from agent_kernel.runtime.containers.containers import ContainerOptions
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.runtime.turns.settings import TurnSettings
from agent_kernel.sandboxes.base import Backend
from agent_kernel.store.sqlite.store import sqlite_store
from tests.kernel.branches.model import NotebookModel, Step, steps

LOOK = '!!cat /mnt/data/log 2>/dev/null; echo "=$V"'
"""What a cell has done to files and to the shell."""


CLOSING = 60.0
"""Seconds for the end of a kernel."""


class Cells:
    """Runs cells one after another, in kernels that `open_runtime`. `texts` is what the last one showed."""

    def __init__(self, open_runtime: Callable[[], LocalRuntime]) -> None:
        self._open_runtime = open_runtime
        self.texts: list[str] = []
        self._begin()

    def _begin(self) -> None:
        """Be a new kernel."""

        async def opened() -> Any:
            return self._open_runtime()

        settings = KernelSettings(max_points=10_000, max_points_size=1 << 60)
        self.notebook = Notebook(opened, settings, logging.getLogger(__name__), attach)
        self._runner = CellRunner(self.notebook, lambda: None)
        self._number = 0

    async def restart(self) -> None:
        """Restart the kernel."""
        await self.notebook.aclose(CLOSING, restart=True)
        self._begin()

    async def run(self, source: str, cell_id: str | None = None) -> str:
        """Run a cell. Return what it showed as text. Raises what it raises."""
        number, self.texts = self._number + 1, []
        outputs = CellOutputs(self._publish, FrontEnd.NOTEBOOK, execution_count=number)
        await self._runner.run(SubmittedCell(source, number, {}, live=False, id=cell_id), outputs)
        outputs.finish()
        self._number = max(number, self.notebook.ledger.cell)  # a session that is resumed has earlier cells
        return "\n".join(self.texts)

    def _publish(self, _kind: str, content: dict[str, Any]) -> None:
        self.texts.append(str(content.get("text") or content.get("data", {}).get("text/plain", "")))


@asynccontextmanager
async def cells_on(backend: Backend, folder: Path) -> AsyncIterator[Cells]:
    """Yield cells on local runtimes with this backend; nothing is left of them at the end."""

    def open_runtime() -> LocalRuntime:
        return LocalRuntime(
            RuntimeParts(
                models=Models(upstream_url=None, upstream_key=None, default="scripted/demo"),
                backend=backend,
                store=sqlite_store(folder),
                container_settings=ContainerOptions(),
                turn_settings=TurnSettings(),
            )
        )

    cells = Cells(open_runtime)
    yield cells
    await cells.notebook.aclose(CLOSING)
    runtime = open_runtime()
    for container in (await runtime.containers.list(limit=100)).data:  # of kept sessions
        await runtime.containers.delete(container.id)
    await runtime.aclose()


async def walk(cells: Cells, seed: int, count: int) -> None:
    """Take random steps, and compare the notebook with the model after each."""
    model, said = NotebookModel(), dict[tuple[str, ...], str | None]()
    for step in steps(seed, count, model, renew=0):
        await _do(cells, step, model.shown)
        model.take(step)
        tree = cells.notebook.branches.tree
        if step.kind == "run" and tree.here.tip is not None:
            model.shown.append(tree.here.tip.number)
        assert {each.name for each in tree.branches} == {model.here.name, *model.others}, step
        shown = await cells.run(LOOK)
        files, _, variable = shown.partition("=")
        state = model.here.state
        assert (tuple(files.split()), tuple(variable.split())) == (state.container, state.container), step
        last = cells.notebook.previous_id
        assert said.setdefault(state.said, last) == last, step


async def _do(cells: Cells, step: Step, numbers: list[int]) -> None:
    change = f'echo {step.text} >>/mnt/data/log; V="$V {step.text}"'
    match step.kind:
        case "run":
            await cells.run(f"!{change}", step.name)
        case "private":
            await cells.run(f"!!{change}")
        case "rewind":  # the model numbers only cells that change something
            await cells.run(f"%rewind {numbers[int(step.name) - 1]}")
        case "restart":
            await cells.restart()
        case "keep":
            await cells.run(f"%session keep {step.text}")
        case "resume":
            if cells.notebook.kept.session is None:
                await cells.run("%session new")  # what is not kept is given up
            await cells.run(f"%session resume {step.name}")
        case "forget":
            await cells.run(f"%session forget {step.name}")
        case _:
            await cells.run(f"%branch {step.kind} {step.name} {step.text * (step.kind == 'name')}")
