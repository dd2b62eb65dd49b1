"""Going back over the comm: the history, and branches that are opened, named, removed and compared."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import pytest

from tests.kernel.client import RENEW, Notebook
from tests.kernel.panel.page import Page

pytestmark = pytest.mark.bubblewrap

CELLS = ["!echo 1 >a.txt", "!echo two >a.txt; cat a.txt", "say hello", "!cat a.txt"]
NUMBERS = itertools.count(1)


class WentBack(NamedTuple):
    """A notebook whose second cell was run again: the branch in use, the other one, and the cells' ids."""

    here: str
    other: str
    ids: list[str]


@pytest.fixture
def went_back(page: Page, kernel: Notebook) -> WentBack:
    """Four cells in a new container, of which the second was run again."""
    kernel.run(RENEW)
    ids = [f"cell-{next(NUMBERS)}" for _ in CELLS]
    for cell_id, source in zip(ids, CELLS, strict=True):
        kernel.run(source, cell_id=cell_id)
    kernel.run("!echo again >a.txt; cat a.txt", cell_id=ids[1], again=True)
    here, other = page.result("state")["branches"]
    return WentBack(here, other, ids)


def a_txt(kernel: Notebook) -> str:
    return str(kernel.run("!!cat a.txt").final[0]["text"]).strip()


def refused(page: Page, request: str, arguments: dict[str, Any]) -> str:
    return str(page.ask(request, arguments)["error"]["message"])


def test_history_is_the_tree_of_cells(page: Page, went_back: WentBack) -> None:
    here, other, ids = went_back
    found = page.result("history")
    cells = {(each["cell"], each["here"]): each for each in found["cells"]}
    assert [cell for cell, on in cells if on][-2:] == ids[:2]
    assert [cell for cell, on in cells if not on] == ids[1:]
    assert cells[ids[0], True]["files"] == ["a.txt"]
    assert cells[ids[0], True]["words"] == "!echo 1 >a.txt"
    assert (cells[ids[3], False]["tips"], cells[ids[3], False]["drawn"][-1]) == ([other], "○")
    assert {each["obstacle"] for each in cells.values() if each["cell"] in ids} == {""}
    branches = [(each["name"], each["in_use"], each["obstacle"]) for each in found["branches"]]
    assert branches == [(here, True, ""), (other, False, "")]


def test_branches_are_compared(page: Page, went_back: WentBack) -> None:
    here, other, ids = went_back
    found = page.result("compare", {"one": here, "other": other})
    one, two = found["sides"]
    assert (one["name"], one["count"], two["name"], two["count"]) == (here, 1, other, 3)
    [again] = one["cells"]
    assert (again["cell"], again["prompt"], again["stored"]) == (ids[1], "echo again >a.txt; cat a.txt", True)
    [printed] = again["answers"]
    assert (printed["text"].splitlines()[-1], printed["markdown"]) == ("again", False)
    assert [each["cell"] for each in two["cells"]] == ids[1:]
    hello = two["cells"][1]
    assert hello["prompt"] == "say hello"
    assert hello["answers"] == [{"text": "Hello, **world**.", "markdown": True}]
    assert refused(page, "compare", {"one": here, "other": "nowhere"}).startswith(
        "There is no branch nowhere."
    )


def test_changes_since_before_a_cell(page: Page, kernel: Notebook, went_back: WentBack) -> None:
    found = page.result("changes", {"cell": went_back.ids[1]})
    [file] = found["files"]
    assert (file["path"], file["change"], found["count"]) == ("a.txt", "changed", 1)
    assert "-1\n+again" in file["diff"]
    assert refused(page, "changes", {"cell": "nowhere"}).startswith("No cell nowhere has run here.")
    assert a_txt(kernel) == "again"


def test_branches_are_opened_named_and_removed(page: Page, kernel: Notebook, went_back: WentBack) -> None:
    here, other, ids = went_back
    found = page.result("switch", {"name": other})
    assert found["said"] == [f"Now on branch {other}, as it was left; branch {here} is kept."]
    assert a_txt(kernel) == "two"
    state = page.result("state")
    assert (state["branches"], state["stale"]) == ([other, here], [])
    assert "letters, digits" in refused(page, "rename_branch", {"name": here, "to": "two words"})
    renamed = page.result("rename_branch", {"name": here, "to": "second"})["branches"]
    assert [each["name"] for each in renamed] == [other, "second"]
    assert refused(page, "delete_branch", {"name": other}) == f"{other} is the branch in use."
    left = page.result("delete_branch", {"name": "second"})["branches"]
    assert [each["name"] for each in left] == [other]
    [first] = [each["number"] for each in page.result("history")["cells"] if each["cell"] == ids[2]]
    assert "kept as branch" in page.result("rewind", {"cell": str(first)})["said"][0]
    assert a_txt(kernel) == "two"
    assert page.result("state")["stale"] == ids[2:]


def test_nothing_moves_while_a_cell_runs(page: Page, kernel: Notebook, went_back: WentBack) -> None:
    here, other, _ = went_back
    sent = kernel.send("wait for ever")
    page.state(lambda state: state["cell"] is not None and state["container"]["id"] is not None)
    asked: list[tuple[str, dict[str, Any]]] = [
        ("rewind", {"cell": "1"}),
        ("changes", {"cell": "1"}),
        ("switch", {"name": other}),
        ("rename_branch", {"name": here, "to": "other"}),
        ("delete_branch", {"name": other}),
    ]
    for name, arguments in asked:
        assert refused(page, name, arguments) == "A cell is running."
    assert len(page.result("compare", {"one": here, "other": other})["sides"]) == 2
    page.result("stop")
    assert kernel.reply(sent)["status"] == "error"
    assert page.result("state")["branches"] == [here, other]


def test_a_cell_waits_for_a_move(page: Page, kernel: Notebook, went_back: WentBack) -> None:
    other = went_back.other
    asked = {"version": 1, "id": "move", "request": "switch", "arguments": {"name": other}}
    page.say(asked)
    assert "two" in kernel.run("!cat a.txt").plain
    assert page.result("history")["branches"][0]["name"] == other


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("history", {"more": 1}), ("switch", {}), ("rewind", {"cell": 7}), ("compare", {"one": "x" * 300})],
)
def test_bad_requests_about_branches_are_refused(page: Page, name: str, arguments: dict[str, Any]) -> None:
    assert "error" in page.ask(name, arguments)
