"""The cells, branches and points of a notebook as JSON, and back. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent_kernel.kernel.branches.tree import Branch, CellTree, KeptState, Point, Position, RanCell

Json = Mapping[str, Any]


@dataclass
class CellWriter:
    """Writes a tree. Points and notes are written once, and named by their place in a list."""

    points: list[Point] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)

    def written(self, tree: CellTree, most: int) -> dict[str, Any]:
        """Return the tree as JSON with the newest `most` cells. Earlier ones are left out."""
        cells = tree.cells()[-most:] if most else []
        places = {id(cell): place for place, cell in enumerate(cells)}
        found: dict[str, Any] = {
            "cells": [self._cell(cell, places) for cell in cells],
            "here": self._branch(tree.here, places),
            "others": [
                self._branch(each, places)
                for each in tree.others.values()
                if each.tip is None or id(each.tip) in places
            ],
            "removed": dict(tree.removed),
            "made": tree._made,
        }
        points = [[p.container_id, p.id, p.size, p.created, p.gone] for p in self.points]
        return {**found, "points": points, "notes": self.notes}

    def point(self, point: Point | None) -> int | None:
        """Return the place of a point in `points`."""
        if point is None:
            return None
        if point not in self.points:
            self.points.append(point)
        return self.points.index(point)

    def _cell(self, cell: RanCell, places: Mapping[int, int]) -> list[Any]:
        parent = places.get(id(cell.parent)) if cell.parent is not None else None
        return [
            cell.number, cell.cell_id, cell.words, cell.began, parent, self._moment(cell.before),
            cell.container_id, cell.response_id,
        ]  # fmt: skip

    def _branch(self, branch: Branch, places: Mapping[int, int]) -> list[Any]:
        tip = places.get(id(branch.tip)) if branch.tip is not None else None
        return [branch.name, tip, self._moment(branch.moment) if branch.moment is not None else None]

    def _moment(self, moment: KeptState) -> list[Any]:
        position = moment.position
        notes = [self._note(each) for each in position.notes]
        return [position.previous_id, notes, self.point(moment.point), moment.missing]

    def _note(self, text: str) -> int:
        if text not in self._places:
            self._places[text] = len(self.notes)
            self.notes.append(text)
        return self._places[text]


@dataclass
class CellReader:
    """Reads what a `CellWriter` wrote. Raises `ValueError`, `TypeError`, `LookupError` for anything else."""

    found: Json
    points: list[Point] = field(init=False)

    def __post_init__(self) -> None:
        self.points = [
            Point(str(of), str(name), int(size), float(created), str(gone))
            for of, name, size, created, gone in self.found["points"]
        ]

    def point(self, place: object) -> Point | None:
        """Return the point at this place in `points`; None: there is none."""
        found: Point | None = _at(self.points, place)
        return found

    def tree(self) -> CellTree:
        """Return the tree."""
        cells: list[RanCell] = []
        for number, cell_id, words, began, parent, before, container_id, response_id in self.found["cells"]:
            above = _at(cells, parent)  # only cells before this one: no circles
            cell = RanCell(int(number), _text(cell_id), str(words), float(began), above, self._moment(before))
            cell.container_id, cell.response_id = _text(container_id), _text(response_id)
            cells.append(cell)
        here = self._branch(self.found["here"], cells)
        others = [self._branch(each, cells) for each in self.found["others"]]
        removed = {str(name): str(why) for name, why in self.found["removed"].items()}
        return CellTree(here, {each.name: each for each in others}, removed, int(self.found["made"]))

    def _branch(self, found: Sequence[Any], cells: list[RanCell]) -> Branch:
        name, tip, moment = found
        return Branch(str(name), _at(cells, tip), self._moment(moment) if moment is not None else None)

    def _moment(self, found: Sequence[Any]) -> KeptState:
        previous_id, notes, point, missing = found
        told = tuple(str(_at(self.found["notes"], each)) for each in notes)
        return KeptState(Position(_text(previous_id), told), _at(self.points, point), str(missing))


def _at(entries: Any, place: object) -> Any:
    if place is None:
        return None
    if not isinstance(place, int) or not 0 <= place < len(entries):
        raise LookupError("no such place")
    return entries[place]


def _text(found: object) -> str | None:
    return None if found is None else str(found)
