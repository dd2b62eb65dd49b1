"""Comparisons for the history panel: two branches, and the files of now with those before a cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import NotFound
from agent_kernel.kernel.magics.diff import since_cell
from agent_kernel.kernel.outputs import silent
from agent_kernel.kernel.panel.history import LONGEST_NAME, about_cell
from agent_kernel.kernel.render.text import clean, clip

if TYPE_CHECKING:
    from openai.types.responses import Response

    from agent_kernel.kernel.branches.tree import Branch, CellTree, RanCell
    from agent_kernel.kernel.ledger import TurnRecord
    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.panel.messages import PanelRequest
    from agent_kernel.kernel.panel.source import PanelSource

MOST_CELLS = 25
"""The number of cells of each branch that are compared, from where they part."""

MOST_ANSWERS = 10
"""The number of answers of one cell: it may have several turns."""

LONGEST_TEXT = 4_000
"""Characters of a prompt or an answer."""


async def compare(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Return how many cells two branches share, and the first ones that only one of them has."""
    request.only(("one", "other"))
    notebook = source.notebook
    pair = [
        _branch(notebook.branches.tree, request.text(name, longest=LONGEST_NAME)) for name in ("one", "other")
    ]
    one, other = (branch.path() for branch in pair)
    common = sum(a is b for a, b in zip(one, other, strict=False))
    return {
        "common": common,
        "sides": [
            {
                "name": branch.name,
                "count": len(path) - common,
                "cells": [await _compared(notebook, cell) for cell in path[common : common + MOST_CELLS]],
            }
            for branch, path in zip(pair, (one, other), strict=True)
        ],
    }


async def changes(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Return which files changed since the moment before a cell, and how: what `%diff --cell` shows."""
    request.only(("cell",))
    cell = request.text("cell", longest=LONGEST_NAME)
    async with source.alone():
        found = await since_cell(source.notebook, cell, silent())
    listed = [change for area in found.areas for change in area.changes]
    return {
        "files": [
            {"path": each.path, "change": each.change, "said": each.said, "diff": clean(each.diff)}
            for each in listed
        ],
        "count": sum(area.count for area in found.areas),
        "notes": [*found.notes, *(note for area in found.areas for note in area.notes)],
    }


def _branch(tree: CellTree, name: str) -> Branch:
    return tree.here if name == tree.here.name else tree.other(name)


async def _compared(notebook: Notebook, cell: RanCell) -> dict[str, Any]:
    """Return a cell with its prompt and its answer; `stored` is false if the runtime has none any more."""
    records = [record for record in notebook.ledger.records if record.cell == cell.number]
    paths = sorted({path for record in records for path in record.paths})
    asked = "\n".join(record.asked for record in records)
    found = [await _responses(notebook, record) for record in records]
    responses = [response for each in found for response in each or ()]
    answers = [answer for response in responses if (answer := _answer(response))["text"]]
    return {
        **about_cell(cell, paths),
        "prompt": clip(clean(asked or cell.words), LONGEST_TEXT),
        "answers": answers[:MOST_ANSWERS],
        "stored": None not in found,
    }


async def _responses(notebook: Notebook, record: TurnRecord) -> list[Response] | None:
    """Return the responses of a turn; None if the runtime has not kept them."""
    runtime = await notebook.runtime()
    try:
        return [await runtime.retrieve(response_id) for response_id in record.response_ids]
    except NotFound:
        return None


def _answer(response: Response) -> dict[str, Any]:
    """Return what a response says, which is Markdown, or what its commands printed, which is not."""
    from agent_kernel.kernel.render.items import render_all

    items = [
        item if isinstance(item, Mapping) else item.to_dict(mode="json", warnings=False)
        for item in response.output
    ]
    said = [item for item in items if item.get("type") == "message"]
    texts = [str(bundle.data["text/plain"]) for item in said or items for bundle in render_all(item)]
    error = f"The turn failed: {clean(response.error.message)}" if response.error is not None else ""
    return {"text": clip("\n".join(filter(None, [*texts, error])), LONGEST_TEXT), "markdown": bool(said)}
