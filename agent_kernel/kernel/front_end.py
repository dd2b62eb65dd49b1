"""What the front end tells the kernel: its kind, and which notebook it has open."""

from __future__ import annotations

import os
import re
from enum import Enum
from pathlib import Path


class FrontEnd(Enum):
    """What may be shown while a cell runs, and whether a person can be asked."""

    NOTEBOOK = "notebook"
    """Its cells have ids: JupyterLab, Notebook 7, VS Code. Outputs can be replaced; widgets work."""

    CONSOLE = "console"
    """It takes input but has no cells: jupyter console. Printed output stays."""

    BATCH = "batch"
    """Neither: nbclient, nbconvert, papermill, nbval. Final outputs only; nothing waits for a person."""


def front_end_of(cell_id: str | None, *, allow_stdin: bool) -> FrontEnd:
    """Return the kind of front end that sent an execute request."""
    if cell_id is not None:
        return FrontEnd.NOTEBOOK
    return FrontEnd.CONSOLE if allow_stdin else FrontEnd.BATCH


def notebook_path() -> Path | None:
    """Return the notebook's path as it was when the kernel started; None if the front end gives none."""
    path = os.environ.get("JPY_SESSION_NAME")  # set by Jupyter Server, not a setting
    return Path(path) if path else None


def notebook_name() -> str:
    """Return a container name made from the notebook's file name, or `notebook`."""
    stem = (notebook_path() or Path()).stem
    return re.sub(r"[^\w.-]+", "-", stem).strip("-.")[:64] or "notebook"
