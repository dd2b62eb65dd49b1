"""The front end that a request came from: its kind, and the notebook it has open."""

from __future__ import annotations

import os
import re
from enum import Enum
from pathlib import Path


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


def notebook_path() -> Path | None:
    """Return the notebook's path at the kernel's start, or None if the front end gives none."""
    path = os.environ.get("JPY_SESSION_NAME")  # set by Jupyter Server, not a setting
    return Path(path) if path else None


def notebook_name() -> str:
    """Return a container name made from the notebook's file name, or `notebook`."""
    stem = (notebook_path() or Path()).stem
    return re.sub(r"[^\w.-]+", "-", stem).strip("-.")[:64] or "notebook"
