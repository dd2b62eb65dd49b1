"""The kind of front end that a request came from."""

from __future__ import annotations

from enum import Enum


class FrontEnd(Enum):
    """The kind of front end: decides what is shown while a cell runs, and whether the user can be asked."""

    NOTEBOOK = "notebook"
    """JupyterLab, Notebook 7, VS Code: cells have ids, outputs can be replaced, widgets work."""

    CONSOLE = "console"
    """jupyter console: takes input but has no cells, and cannot replace printed output."""

    BATCH = "batch"
    """nbclient, nbconvert, papermill, nbval: final outputs only, and no questions to the user."""


def front_end_of(cell_id: str | None, *, allow_stdin: bool) -> FrontEnd:
    """Return the kind of front end that sent an execute request."""
    if cell_id is not None:
        return FrontEnd.NOTEBOOK
    return FrontEnd.CONSOLE if allow_stdin else FrontEnd.BATCH
