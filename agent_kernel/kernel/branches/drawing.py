"""The tree of cells as rows of a table. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_kernel.kernel.branches.tree import Branch, CellTree, RanCell
    from agent_kernel.kernel.ledger import TurnRecord

HEADER = ["", "cell", "time", "began with", "files", "tokens", "branch"]

MOST_ROWS = 200
"""The newest cells that are shown."""

MOST_LANES = 8
"""Branches drawn side by side; further ones share the last lane."""

_NO_LINE, _LINE, _CELL, _HERE = "\N{NO-BREAK SPACE}", "│", "○", "●"


@dataclass(frozen=True)
class HistoryEntry:
    """A cell in the tree. `drawn` is its place there, a line of text; `here`: it is on the branch in use.

    `paths` are the files that it wrote, in the container. `tips` names the branches that end with it.
    """

    cell: RanCell
    drawn: str
    here: bool
    paths: Sequence[str]
    tokens: int
    tips: Sequence[str]


def entries(tree: CellTree, records: Iterable[TurnRecord]) -> list[HistoryEntry]:
    """Return the newest cells, oldest first."""
    cells, lanes = tree.cells()[-MOST_ROWS:], _lanes(tree)
    spans, use = _spans(cells, lanes), _use(records)
    path = {id(cell) for cell in tree.here.path()}
    found = []
    for row, cell in enumerate(cells):
        here = id(cell) in path
        drawn = _drawn(row, lanes[id(cell)], spans, _HERE if here else _CELL)
        paths, tokens = use.get(cell.number, ([], 0))
        tips = [branch.name for branch in tree.branches if branch.tip is cell]
        found.append(HistoryEntry(cell, drawn, here, paths, tokens, tips))
    return found


def caption(tree: CellTree) -> str:
    """Return what is said about the rows: the branch in use, and whether older cells are left out."""
    here = f"This is branch {tree.here.name}{'' if tree.here.tip is not None else ', before its first cell'}."
    count = len(tree.cells())
    return here if count <= MOST_ROWS else f"{here} The newest {MOST_ROWS:,} of {count:,} cells are shown."


def rows(tree: CellTree, records: Iterable[TurnRecord]) -> list[list[str]]:
    """Return a row for each cell, oldest first: its place in the tree, number, time, first words, use."""
    return [
        [
            entry.drawn,
            f"[{entry.cell.number}]",
            time.strftime("%H:%M", time.localtime(entry.cell.began)),
            entry.cell.words,
            _files(entry.paths),
            f"{entry.tokens:,}" if entry.tokens else "",
            ", ".join(f"{name} (in use)" if name == tree.here.name else name for name in entry.tips),
        ]
        for entry in entries(tree, records)
    ]


def branch_rows(tree: CellTree) -> list[list[str]]:
    """Return a row for each branch: name, number of cells, its last cell, and what there is to say."""
    return [
        [branch.name, str(len(branch.path())), _last(branch), _state(tree, branch)]
        for branch in tree.branches
    ]


def _last(branch: Branch) -> str:
    return f"[{branch.tip.number}] {branch.tip.words}" if branch.tip is not None else ""


def _state(tree: CellTree, branch: Branch) -> str:
    if branch is tree.here:
        return "in use"
    return branch.moment.obstacle if branch.moment is not None else ""


def _lanes(tree: CellTree) -> dict[int, int]:
    """Return the lane of each cell: that of the first branch that has it."""
    found: dict[int, int] = {}
    for lane, branch in enumerate(tree.branches):
        for cell in branch.path():
            found.setdefault(id(cell), min(lane, MOST_LANES - 1))
    return found


def _spans(cells: list[RanCell], lanes: dict[int, int]) -> dict[int, tuple[int, int]]:
    """Return the first and last row of each lane; a lane begins below the cell that it continues."""
    row_of = {id(cell): row for row, cell in enumerate(cells)}
    spans: dict[int, tuple[int, int]] = {}
    for row, cell in enumerate(cells):
        lane = lanes[id(cell)]
        begins = row_of.get(id(cell.parent), -1) + 1 if cell.parent is not None else row
        first, _ = spans.get(lane, (begins, row))
        spans[lane] = min(first, begins), row
    return spans


def _drawn(row: int, own: int, spans: dict[int, tuple[int, int]], mark: str) -> str:
    """Return the lanes at a row: a mark in the cell's own, a line in those that pass it."""
    drawn = [
        mark if lane == own else _LINE if first <= row <= last else _NO_LINE
        for lane, (first, last) in sorted(spans.items())
    ]
    return _NO_LINE.join(drawn).rstrip(_NO_LINE)


def _use(records: Iterable[TurnRecord]) -> dict[int, tuple[list[str], int]]:
    """Return the files and tokens of each cell by its number."""
    paths: dict[int, set[str]] = {}
    tokens: dict[int, int] = {}
    for record in records:
        paths.setdefault(record.cell, set()).update(record.paths)
        tokens[record.cell] = tokens.get(record.cell, 0) + record.input_tokens + record.output_tokens
    return {cell: (sorted(found), tokens[cell]) for cell, found in paths.items()}


def _files(paths: Sequence[str]) -> str:
    shown = [path.removeprefix("/mnt/data/") for path in paths[:3]]
    more = len(paths) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")
