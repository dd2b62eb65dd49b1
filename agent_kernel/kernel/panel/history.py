"""Going back from the history panel: what `%history` and `%branch` show and do, and `%rewind`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agent_kernel.kernel.outputs import CellOutputs
from agent_kernel.kernel.render.text import clean

if TYPE_CHECKING:
    from agent_kernel.kernel.branches.branches import Branches
    from agent_kernel.kernel.branches.drawing import HistoryEntry
    from agent_kernel.kernel.branches.tree import RanCell
    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.panel.messages import PanelRequest
    from agent_kernel.kernel.panel.source import PanelSource

LONGEST_NAME = 200
"""Characters of a branch's name, or of a cell's number, in a request."""

MOST_PATHS = 20
"""The number of files that are named of each cell."""

WORKSPACE = "/mnt/data/"


async def read(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Return the newest cells, oldest first, and the branches, the one in use first."""
    request.only(())
    return _shown(source.notebook)


async def rewind(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Go back to before a cell."""
    request.only(("cell",))
    cell = request.text("cell", longest=LONGEST_NAME)
    return await _moved(source, lambda branches, outputs: branches.rewind(cell, outputs))


async def switch(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Open another branch as it was left."""
    request.only(("name",))
    name = request.text("name", longest=LONGEST_NAME)
    return await _moved(source, lambda branches, outputs: branches.switch(name, outputs))


async def rename(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Give a branch another name."""
    request.only(("name", "to"))
    name, to = (request.text(each, longest=LONGEST_NAME) for each in ("name", "to"))
    async with source.alone():
        source.notebook.branches.rename(name, to)
    return _shown(source.notebook)


async def delete(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Remove a branch with the cells that only it has."""
    request.only(("name",))
    async with source.alone():
        await source.notebook.branches.delete(request.text("name", longest=LONGEST_NAME))
    return _shown(source.notebook)


async def _moved(
    source: PanelSource, move: Callable[[Branches, CellOutputs], Awaitable[None]]
) -> dict[str, Any]:
    """Return the history after a move, and as `said` the lines that it shows in a cell.

    Raises `InvalidRequest`; nothing has changed then.
    """
    said: list[str] = []
    outputs = CellOutputs(lambda _kind, content: said.append(content["data"]["text/plain"]))
    async with source.alone():
        try:
            await move(source.notebook.branches, outputs)
        finally:
            source.listings.forget()
    return {**_shown(source.notebook), "said": said}


def _shown(notebook: Notebook) -> dict[str, Any]:
    from agent_kernel.kernel.branches.drawing import entries

    tree = notebook.branches.tree
    return {
        "cells": [_cell(entry) for entry in entries(tree, notebook.ledger.records)],
        "branches": [
            {
                "name": branch.name,
                "cells": len(branch.path()),
                "in_use": branch is tree.here,
                "obstacle": branch.moment.obstacle if branch.moment is not None else "",
            }
            for branch in tree.branches
        ],
    }


def _cell(entry: HistoryEntry) -> dict[str, Any]:
    return {
        **about_cell(entry.cell, entry.paths),
        "drawn": entry.drawn,
        "here": entry.here,
        "tokens": entry.tokens,
        "tips": list(entry.tips),
        "obstacle": entry.cell.before.obstacle,
    }


def about_cell(cell: RanCell, paths: Sequence[str]) -> dict[str, Any]:
    """Return what is known of a cell wherever it is shown; `paths` are the files that it wrote."""
    return {
        "number": cell.number,
        "cell": cell.cell_id,
        "words": clean(cell.words),
        "began": cell.began,
        "files": [clean(path.removeprefix(WORKSPACE)) for path in paths[:MOST_PATHS]],
        "more_files": max(0, len(paths) - MOST_PATHS),
    }
