"""What going back says. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent_kernel.errors import AgentKernelError, InvalidRequest
from agent_kernel.kernel.render.text import clip, code

if TYPE_CHECKING:
    from agent_kernel.kernel.branches.tree import Undone
    from agent_kernel.runtime.snapshots import RestoredContainer

LONGEST = 80
"""Characters shown of a command."""

MOST_NAMED = 20


def reason(error: Exception) -> str:
    """Return what an error says, as a clause without a full stop."""
    return (error.message if isinstance(error, AgentKernelError) else str(error)).rstrip(".")


def not_kept(why: str) -> str:
    """Return the line about a notebook or a cell without points."""
    return f"Running a cell again does not go back here: {why}. It continues from where the notebook is."


def refused(why: str) -> InvalidRequest:
    """Return the error for a way back that there is not."""
    return InvalidRequest(
        f"The notebook cannot go back: {why}. Nothing has changed, and nothing was run.",
        hint="To run a cell on what is there now, put its text into a new cell, or set %rerun continue. "
        "%rewind N --conversation goes back in the conversation alone.",
    )


def went_back(undone: Undone) -> str:
    """Return the line about a cell that was run again."""
    later = len(undone.cells) - 1
    name = undone.branch.name if undone.branch is not None else ""
    work = f"the work of {_cells(later)} is" if later > 0 else "its earlier work is"
    return f"Went back to before this cell; {work} kept as branch {name}."


def asked_back(later: int) -> str:
    """Return the question whether a cell that is run again goes back."""
    kept = f"The work of {_cells(later)} is" if later else "What it did is"
    return f"Go back to before this cell? {kept} kept as a branch."


def _cells(later: int) -> str:
    return f"{later:,} later cell{'' if later == 1 else 's'}"


def rewound(number: int, undone: Undone, here: str, *, conversation_only: bool) -> str:
    """Return the line about `%rewind`."""
    where = f"before cell [{number}]" + " in the conversation only" * conversation_only
    if undone.branch is None:
        return f"Went back to {where}. This is branch {here}."
    count = len(undone.cells)
    work = f"the work of {count:,} cell{'' if count == 1 else 's'}"
    return f"Went back to {where}; {work} is kept as branch {undone.branch.name}."


def lost(restored: RestoredContainer) -> str:
    """Return the line about what could not go back; empty if there is nothing."""
    parts = []
    if restored.ended:
        parts.append(f"background processes ended: {_listed(restored.ended)}")
    if restored.lost:
        parts.append(f"variables of Python and R are lost: {_listed(restored.lost)}")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def lost_for_model(restored: RestoredContainer) -> str:
    """Return what the model must know of it; empty if there is nothing."""
    line = lost(restored)
    return f"The user put the container back to its state at this point. {line}" if line else ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(code(clip(" ".join(name.split()), LONGEST)) for name in names[:MOST_NAMED])
