"""Run one cell on a notebook: its magic lines and commands, then its prompt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_kernel.kernel.asking.types import Asker
from agent_kernel.kernel.cells import Cell, MagicLine, parse

if TYPE_CHECKING:
    from agent_kernel.kernel.live.live import LiveTurn
    from agent_kernel.kernel.live.views import LiveViews
    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.outputs import CellOutputs


@dataclass(frozen=True)
class SubmittedCell:
    """A cell as the front end sent it. `live` shows its turns while they run; `id` is None in a console."""

    source: str
    number: int
    metadata: Mapping[str, Any]
    live: bool
    id: str | None = None


class CellRunner:
    """Runs the cells of one notebook. `stop` interrupts the running cell, for the live view's button."""

    def __init__(self, notebook: Notebook, stop: Callable[[], None]) -> None:
        self._notebook = notebook
        self._stop = stop
        self._views: LiveViews | None = None
        self._told_missing = False
        self.watch: Callable[[], None] = lambda: None
        """Called whenever the state of a live view has changed."""
        self.view: LiveTurn | None = None
        """The last live view; it is closed once its cell has ended."""
        self.lock = asyncio.Lock()
        """Held while a cell runs, and by whoever else changes what cells stand on."""

    async def run(self, cell: SubmittedCell, outputs: CellOutputs) -> None:
        """Run the cell. Raises `InvalidRequest` for an unknown magic before anything runs."""
        async with self.lock:
            await self._alone(cell, outputs)

    async def _alone(self, cell: SubmittedCell, outputs: CellOutputs) -> None:
        from agent_kernel.kernel.magics.again import begun, read_lines
        from agent_kernel.kernel.magics.table import find

        source = parse(cell.source)
        magics = [find(line.name) for line in source.lines if isinstance(line, MagicLine)]
        again = read_lines(source)
        await self._notebook.begin_cell(cell.number, cell.metadata, outputs)
        self._notebook.recording.begin_cell(cell.id, cell.source, self._notebook.file)
        takes_turns = (
            bool(source.prompt) or len(magics) < len(source.lines) or any(each.takes_turn for each in magics)
        )
        if cell.live and takes_turns:
            await self._go_live(outputs)
        branches, kept = self._notebook.branches, self._notebook.kept
        names = frozenset(line.name for line in source.lines if isinstance(line, MagicLine) and not line.asks)
        await kept.begin(outputs, changes=again.changes, names=names)
        try:
            if again.changes:
                await branches.begin(begun(self._notebook, cell.id, cell.source, again, outputs), outputs)
            await self._run(source, magics, outputs)
        finally:
            branches.end()
            await kept.end(outputs)

    async def _run(self, source: Cell, magics: list[Any], outputs: CellOutputs) -> None:
        from agent_kernel.kernel.magics.table import page
        from agent_kernel.kernel.private import run_private

        for line in source.lines:
            if isinstance(line, MagicLine):
                magic = magics.pop(0)
                if line.asks:
                    outputs.page(page(magic))
                else:
                    await magic.run(self._notebook, outputs, line.arguments)
            elif line.private:
                await run_private(self._notebook, line.command, outputs)
            else:
                await self._notebook.shell(line.command, outputs)
        if source.prompt:
            await self._notebook.ask(source.prompt, outputs)

    async def _go_live(self, outputs: CellOutputs) -> None:
        """Show the cell's turns while they run. The first call loads the widget libraries.

        Where the view is not built, the first call says so, and outputs appear when they are complete.
        """
        from importlib import import_module

        from agent_kernel.kernel.live.built import MISSING, is_built
        from agent_kernel.kernel.render.bundles import note

        if not is_built():
            if not self._told_missing:
                outputs.emit(note(MISSING))
            self._told_missing = True
            return
        views = await asyncio.to_thread(import_module, "agent_kernel.kernel.live.views")
        if self._views is None:
            self._views = views.LiveViews(self._stop, self._notebook.steer, self._notebook.screen.watch)
        self.view = view = self._views.open()
        view.observe(lambda _change: self.watch(), "state")
        outputs.show_live(view, view.bundle())
        if isinstance(view, Asker):
            self._notebook.approvals.asker = view
