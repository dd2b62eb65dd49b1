"""Whole tables over the comm: variables, and files that this process or the container reads."""

from __future__ import annotations

from typing import Any

import pytest

from agent_kernel.kernel.panel.tables import MOST_COLUMNS, MOST_ROWS
from tests.kernel.client import Notebook
from tests.kernel.panel.page import Page

pytestmark = pytest.mark.bubblewrap

COUNT = 1100
MADE = f"""%%python
import pandas as pd
long = pd.DataFrame({{"n": range({COUNT}), "word": ["wört" * 60] * {COUNT}}})
named = long.head(3).set_index("word")
wide = pd.DataFrame([range(100)] * 2)
many = pd.DataFrame({{"n": range({MOST_ROWS + 5})}})
plain = 5
few = pd.DataFrame({{"n": range({COUNT}), "word": [f"w{{n}}" for n in range({COUNT})]}})
few.to_json("few.json", orient="records")
few.to_json("few.jsonl", orient="records", lines=True)
few.to_csv("few.csv", index=False)
few.to_excel("few.xlsx", index=False)
few.to_parquet("few.parquet", row_group_size=700)
few.to_feather("few.feather", chunksize=700)
open("prose.txt", "w").write("No table.")
open("code.py", "w").write("x = 1")
"""


@pytest.fixture(scope="module")
def made(kernel: Notebook) -> Notebook:
    assert kernel.run(MADE).reply["status"] == "ok"
    return kernel


def whole(page: Page, **place: str) -> dict[str, Any]:
    """All that a page gets of a table. `asked` is the number of requests."""
    found = page.result("rows", {**place, "offset": 0})
    asked = 1
    while (offset := found["next"]) is not None:
        more = page.result("rows", {**place, "offset": offset})
        assert more["rows"]
        found = {**more, "rows": found["rows"] + more["rows"]}
        asked += 1
    return {**found, "asked": asked}


def test_variable_comes_whole_in_pieces(page: Page, made: Notebook) -> None:
    long = whole(page, variable="long")
    assert [row[0] for row in long["rows"]] == [str(n) for n in range(COUNT)]
    assert {len(row[1]) for row in long["rows"]} == {200}
    assert long["asked"] > 1
    assert (long["columns"], long["count"], long["width"]) == (["n", "word"], COUNT, 2)
    assert whole(page, variable="named")["columns"] == ["word", "n"]


def test_what_a_page_does_not_get_of_a_variable_is_counted(page: Page, made: Notebook) -> None:
    wide = whole(page, variable="wide")
    assert (len(wide["columns"]), wide["width"]) == (MOST_COLUMNS, 100)
    last = page.result("rows", {"variable": "many", "offset": MOST_ROWS - 1})
    assert (last["rows"][0], last["next"], last["count"]) == ([str(MOST_ROWS - 1)], None, MOST_ROWS + 5)


@pytest.mark.parametrize(
    "name", ["few.csv", "few.json", "few.jsonl", "few.xlsx", "few.parquet", "few.feather"]
)
def test_file_comes_whole(page: Page, made: Notebook, name: str) -> None:
    found = whole(page, path=name)
    assert found["rows"] == [[str(n), f"w{n}"] for n in range(COUNT)]
    assert (found["columns"], found["count"], found["whole"]) == (["n", "word"], COUNT, True)


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ({"variable": "nobody"}, "no variable nobody"),
        ({"variable": "plain"}, "plain is not a table"),
        ({"path": "gone.csv"}, "gone.csv is not in the container"),
        ({"path": "prose.txt"}, "not shown as a table"),
        ({"path": "code.py"}, "not shown as a table"),
        ({}, "needs a text as path"),
    ],
)
def test_what_is_no_table_is_refused(page: Page, made: Notebook, place: dict[str, str], reason: str) -> None:
    answer = page.ask("rows", {**place, "offset": 0})
    assert reason in answer["error"]["message"]


def test_container_reads_nothing_while_a_cell_runs(page: Page, made: Notebook) -> None:
    sent = made.send("!echo begun; sleep 60")
    page.state(lambda state: state["cell"] is not None)
    for place in ({"variable": "few"}, {"path": "few.xlsx"}):
        assert "A cell is running" in page.ask("rows", {**place, "offset": 0})["error"]["message"]
    assert len(page.result("rows", {"path": "few.csv", "offset": 0})["rows"]) == COUNT
    page.result("stop")
    made.reply(sent)
