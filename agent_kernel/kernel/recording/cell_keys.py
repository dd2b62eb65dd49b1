"""Which cell of which notebook file runs: its id, and the order of all ids."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_NOTEBOOK = 64 << 20
"""Bytes of the largest notebook file that is read for this."""

MOST_FILES = 200
"""Notebook files of a folder in which a cell is looked for."""


@dataclass(frozen=True)
class NotebookCells:
    """The code cells of a notebook file: ids, sources and metadata, in order."""

    ids: Sequence[str] = ()
    sources: Sequence[str] = ()
    metadata: Sequence[Any] = ()

    def place_of(self, cell_id: str | None, source: str, again: int) -> int | None:
        """Return the place of the cell with this id, or else this source: the one after `again` others."""
        if cell_id in self.ids:
            return self.ids.index(cell_id)
        found = [place for place, text in enumerate(self.sources) if text == source.strip()]
        return found[min(again, len(found) - 1)] if found else None


def read_cells(path: Path) -> NotebookCells:
    """Return the cells of a notebook file; none if it cannot be read."""
    try:
        if path.stat().st_size > MAX_NOTEBOOK:
            return NotebookCells()
        notebook = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return NotebookCells()
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    code = [each for each in cells if _is_code(each)] if isinstance(cells, list) else []
    return NotebookCells(
        [str(each.get("id") or "") for each in code],
        [_source(each) for each in code],
        [each.get("metadata") for each in code],
    )


def find_notebook(folder: Path, source: str) -> Path | None:
    """Return the only notebook in a folder that has a cell with this source, None if there is not one."""
    found = []
    for path in sorted(folder.glob("*.ipynb"))[:MOST_FILES]:
        if source.strip() in read_cells(path).sources:
            found.append(path)
    return found[0] if len(found) == 1 else None


def _is_code(cell: Any) -> bool:
    return isinstance(cell, dict) and cell.get("cell_type") == "code"


def _source(cell: dict[str, Any]) -> str:
    source = cell.get("source")
    return "".join(map(str, source)).strip() if isinstance(source, list) else str(source or "").strip()


class RunningCells:
    """The ids of the cells that run, where the front end does not send them: from the notebook's file."""

    def __init__(self) -> None:
        self.file: Path | None = None
        self.order: Sequence[str] = ()
        self.metadata: Any = None
        """The metadata of the running cell in the file."""
        self._times: Counter[str] = Counter()

    def key(self, cell_id: str | None, source: str, file: Path | None) -> str:
        """Return the id of a cell that begins to run, "" if it is unknown. `file` is its notebook's.

        Without one, it is looked for in this process's folder. Reads files.
        """
        self.file = file or self.file or find_notebook(Path(), source)
        if self.file is None:
            return cell_id or ""
        cells = read_cells(self.file)
        self.order = cells.ids
        place = cells.place_of(cell_id, source, self._times[source])
        self._times[source] += 1
        self.metadata = None if place is None else cells.metadata[place]
        return cell_id or ("" if place is None else cells.ids[place])
