"""Which kind of front end sent a cell, told from what it sends; see docs/architecture.md."""

from __future__ import annotations

from enum import Enum


class FrontEnd(Enum):
    """What may be shown while a cell runs, and whether anybody can be asked."""

    NOTEBOOK = "notebook"
    """It has cells with ids: JupyterLab, Notebook 7, VS Code. Outputs can be taken back; widgets work."""

    CONSOLE = "console"
    """It takes questions but has no cells: jupyter console. What was printed stays."""

    BATCH = "batch"
    """Neither: nbclient, nbconvert, papermill, nbval. Final outputs only, and nothing waits for a person."""


def front_end_of(cell_id: str | None, *, allow_stdin: bool) -> FrontEnd:
    """The kind of front end behind an execute request."""
    if cell_id is not None:
        return FrontEnd.NOTEBOOK
    return FrontEnd.CONSOLE if allow_stdin else FrontEnd.BATCH
