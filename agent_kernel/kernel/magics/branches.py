"""Magics for going back: `%rerun`, `%history`, `%rewind`, `%branch`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.preferences import read_rerun

if TYPE_CHECKING:
    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.outputs import CellOutputs

ONLY = "--conversation"

_REWIND = f"Use %rewind [N] [{ONLY}]: N is a cell's number, In [N]."
_BRANCH = f"Use %branch, %branch switch NAME [{ONLY}], %branch name [NAME] NEW, or %branch delete NAME."

_MEANINGS = {
    "rewind": "A cell that is run again goes back to before its last run.",
    "continue": "A cell that is run again continues from where the notebook is; no points are kept.",
    "ask": "Before a cell that is run again goes back, you are asked.",
}


async def rerun(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Show or change what a cell does that has run before."""
    from agent_kernel.kernel.render.bundles import note

    if arguments:
        chosen = None if arguments == "--default" else read_rerun(arguments)
        notebook.choices.said = notebook.choices.said.choose(rerun=chosen)
    now = notebook.rerun(outputs.front_end)
    (outputs.emit if arguments else outputs.result)(note(_MEANINGS[now]))


async def history(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Show the cells that have run, with their branches."""
    from agent_kernel.kernel.branches.drawing import HEADER, caption, rows
    from agent_kernel.kernel.render.bundles import note, table

    if arguments:
        raise InvalidRequest("%history takes no arguments.", hint="%replay N shows a cell's outputs again.")
    tree = notebook.branches.tree
    shown = rows(tree, notebook.ledger.records)
    if not shown:
        outputs.result(note("No cell has asked or run anything yet."))
        return
    outputs.result(table(HEADER, shown, caption(tree)).bundle())


async def rewind(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Go back to before a cell."""
    words, only = _words(arguments)
    if len(words) > 1 or any(word.startswith("-") for word in words):
        raise InvalidRequest(f"%rewind does not know {arguments!r}.", hint=_REWIND)
    await notebook.branches.rewind("".join(words), outputs, conversation_only=only)


async def branch(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """List the branches, switch to one, name one, or delete one."""
    from agent_kernel.kernel.render.bundles import note

    branches, (words, only) = notebook.branches, _words(arguments)
    match words:
        case [] if not only:
            _list(notebook, outputs)
        case ["switch", name]:
            await branches.switch(name, outputs, conversation_only=only)
        case ["name", new] if not only:
            branches.rename(branches.tree.here.name, new)
            outputs.emit(note(f"This branch is now called {new}."))
        case ["name", old, new] if not only:
            branches.rename(old, new)
            outputs.emit(note(f"Branch {old} is now called {new}."))
        case ["delete", name] if not only:
            await branches.delete(name)
            outputs.emit(note(f"Branch {name} was deleted."))
        case _:
            raise InvalidRequest(f"%branch does not know {arguments!r}.", hint=_BRANCH)


def _words(arguments: str) -> tuple[list[str], bool]:
    words = arguments.split()
    return [word for word in words if word != ONLY], ONLY in words


def _list(notebook: Notebook, outputs: CellOutputs) -> None:
    from agent_kernel.kernel.branches.drawing import branch_rows
    from agent_kernel.kernel.render.bundles import table

    rows = branch_rows(notebook.branches.tree)
    outputs.result(table(["branch", "cells", "last cell", ""], rows).bundle())
