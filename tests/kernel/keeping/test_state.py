"""The state that a kept session holds: it comes back as it was, is bounded, and is read with care."""

from __future__ import annotations

import copy
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.kernel.branches.tree import Branch, KeptState, Point, Position, RanCell
from agent_kernel.kernel.costs.compute import TurnCompute
from agent_kernel.kernel.keeping.state import StateUnreadable, read_state, written_state
from agent_kernel.kernel.notebook import Notebook
from agent_kernel.kernel.preferences import Preferences
from agent_kernel.kernel.settings import KernelSettings
from agent_kernel.kernel.transfer.host_files import HostFile
from agent_kernel.kernel.transfer.mentions import attach
from agent_kernel.policy.rules import read_policy
from agent_kernel.runtime.kept import LARGEST_STATE


async def never() -> Any:
    raise AssertionError("no runtime is needed")


def notebook(cells: int = 3) -> Notebook:
    """A notebook with so many cells, the last two of which are on a branch."""
    made = Notebook(never, KernelSettings(), logging.getLogger(__name__), attach)
    tree, parent = made.branches.tree, None
    for number in range(1, cells + 1):
        point = Point("cntr_a", f"snap_{number}", 1000, 1.5, "" if number > 1 else "it was removed")
        before = KeptState(Position(f"resp_{number - 1}" if parent else None, ("a note",)), point)
        parent = RanCell(number, f"cell-{number}", "é " * 20, 1.5, parent, before, "cntr_a", f"resp_{number}")
        if number == cells - 2:
            tree.here.tip = parent
    tree.others["b2"] = Branch("b2", parent, KeptState(Position("resp_b", ("x",)), None, "no point"))
    tree.removed["b3"], tree._made = "it was old", 3
    made.choices.said = Preferences(model="m", budget={"tokens": 7}, rerun="ask", drift_ignore=("*s",))
    made.approvals.said = read_policy("ask")
    made.approvals.allowed.append("rm *")
    made.notes.append("told")
    made.ledger.cell = cells
    made.container.params = {"memory_limit": "1g"}
    made.ledger.begin("x" * 9000, "cntr_a").response_ids.append("resp_1")
    made.ledger.records[-1].compute = TurnCompute(1.5, 2.0, 3)
    known = {"a.csv": (HostFile(Path("/tmp/a.csv"), 7, (1, 2)), "digest")}
    made.uploaded.bring_back("cntr_a", known, ["page.csv"])
    made.documents.store_id, made.documents.names = "vs_a", {"file-a": "a.pdf"}
    made.recording.written = ["here:/tmp/a.yaml"]
    return made


def test_state_comes_back_as_it_was() -> None:
    made = notebook()
    state = read_state(json.loads(json.dumps(written_state(made, ["df"]))))
    tree, old = state.tree, made.branches.tree
    assert [(c.number, c.cell_id, c.words, c.response_id, c.container_id) for c in tree.cells()] == [
        (c.number, c.cell_id, c.words, c.response_id, c.container_id) for c in old.cells()
    ]
    assert [each.before.position for each in tree.cells()] == [each.before.position for each in old.cells()]
    assert [p.obstacle for p in (c.before for c in tree.cells())] == ["it was removed", "", ""]
    assert len(tree.here.path()) == 1
    assert len(tree.others["b2"].path()) == 3
    assert tree.others["b2"].path()[0] is tree.here.tip, "cells are shared"
    assert tree.others["b2"].moment == KeptState(Position("resp_b", ("x",)), None, "no point")
    assert (tree.removed, tree._made) == ({"b3": "it was old"}, 3)
    assert state.said == made.choices.said
    assert state.approval == read_policy("ask")
    assert (state.number, state.notes, state.params) == (3, ("told",), {"memory_limit": "1g"})
    assert (state.uploads, state.received) == (made.uploaded.kept()[0], ("page.csv",))
    assert state.variables == ("df",)
    assert state.documents == made.documents
    assert state.cassettes == ("here:/tmp/a.yaml",)
    (record,) = state.records
    assert (len(record.asked), record.response_ids, record.container_id) == (200, ["resp_1"], "cntr_a")
    assert record.compute == TurnCompute(1.5, 2.0, 3)
    assert read_state({}).tree.cells() == []


def test_kinds_that_were_allowed_are_asked_about_again() -> None:
    assert "rm" not in json.dumps(written_state(notebook(), None)["approval"])


def test_state_of_a_long_notebook_is_bounded() -> None:
    state = written_state(notebook(6000), None)
    assert len(json.dumps(state, ensure_ascii=False).encode()) < LARGEST_STATE
    cells = read_state(state).tree.cells()
    assert cells[-1].number == 6000
    assert 200 < len(cells) < 6000


def test_state_of_a_newer_version_is_said_to_be_one() -> None:
    state = {**written_state(notebook(), None), "version": 2}
    with pytest.raises(StateUnreadable, match="a newer agent-kernel"):
        read_state(state)


def damaged() -> list[tuple[Any, ...]]:
    """Paths into the state, and what is put there instead."""
    wrong: list[Any] = [None, [], {}, "x", -1, 10**9, [[1]], {"a": {"b": []}}, True]
    paths: list[tuple[Any, ...]] = [
        ("tree",), ("tree", "cells"), ("tree", "cells", 0), ("tree", "cells", 2, 4), ("tree", "cells", 1, 5),
        ("tree", "here"), ("tree", "here", 1), ("tree", "others"), ("tree", "points"), ("tree", "notes"),
        ("tree", "points", 0), ("said",), ("approval",), ("records",), ("records", 0), ("uploads",),
        ("uploads", "a.csv"), ("at",), ("number",), ("notes",), ("params",), ("version",),
        ("documents",), ("documents", "names"), ("documents", "store_id"),
    ]  # fmt: skip
    return [(*path, value) for path in paths for value in wrong]


def test_damaged_state_is_refused_or_read_but_never_breaks() -> None:
    whole, refused = written_state(notebook(), None), 0
    for *path, last, value in damaged():
        state = copy.deepcopy(whole)
        place: Any = state
        for step in path:
            place = place[step]
        place[last] = value
        try:
            tree = read_state(state).tree
            assert all(len(each.path()) <= 3 for each in tree.branches)
        except StateUnreadable:
            refused += 1
    assert refused > 100
