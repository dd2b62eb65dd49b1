"""What a cell's lines mean for running it again: whether it changes something, and whether it goes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.branches.branches import BegunCell
from agent_kernel.kernel.cells import MagicLine
from agent_kernel.kernel.magics.table import find
from agent_kernel.kernel.preferences import Rerun, read_rerun

if TYPE_CHECKING:
    from agent_kernel.kernel.branches.branches import Agree
    from agent_kernel.kernel.cells import Cell
    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.outputs import CellOutputs

LONGEST = 60
"""Characters of a cell that the history shows."""


@dataclass(frozen=True)
class LinesRead:
    """`changes`: the cell is a point to go back to. `moves`: it moves the notebook by itself.

    `rerun` is what a `%rerun` line of its own says.
    """

    changes: bool
    moves: bool
    rerun: Rerun | None = None


def read_lines(cell: Cell) -> LinesRead:
    """Read a parsed cell. Raises `InvalidRequest` for an unknown magic."""
    changes, moves, rerun = bool(cell.prompt), False, None
    for line in cell.lines:
        if not isinstance(line, MagicLine):
            changes |= not line.private
        elif not line.asks:
            magic = find(line.name)
            changes |= magic.keeps_point and not line.arguments.startswith("--private")
            moves |= magic.moves
            if line.name == "rerun":
                rerun = _valid(line.arguments)
    return LinesRead(changes, moves, rerun)


def _valid(arguments: str) -> Rerun | None:
    try:
        return read_rerun(arguments)
    except InvalidRequest:  # the line itself says so
        return None


def begun(
    notebook: Notebook, cell_id: str | None, source: str, lines: LinesRead, outputs: CellOutputs
) -> BegunCell:
    """Return what the branches need to know of a cell that begins."""
    rerun = lines.rerun or notebook.rerun(outputs.front_end)
    words = " ".join(source.split())
    return BegunCell(
        id=cell_id,
        number=outputs.number,
        words=words if len(words) <= LONGEST else words[: LONGEST - 1].rstrip() + "…",
        keeps=rerun != "continue",
        returns=rerun != "continue" and not lines.moves,
        agree=_agree(notebook, outputs) if rerun == "ask" else None,
    )


def _agree(notebook: Notebook, outputs: CellOutputs) -> Agree:
    async def agree(question: str) -> bool:
        from agent_kernel.kernel.asking.types import ApprovalRequest
        from agent_kernel.kernel.render.bundles import note

        asker = notebook.approvals.asker
        if asker is None:
            outputs.emit(note("No one could be asked whether to go back, so this cell continues."))
            return False
        why = "This cell has run before. Otherwise it continues from where the notebook is."
        request = ApprovalRequest("rerun", (question,), why, editable=False, about="rerun")
        decision = await asker.ask(request)
        if decision.approve and decision.remember:
            notebook.choices.said = notebook.choices.said.choose(rerun="rewind")
        return decision.approve

    return agree
