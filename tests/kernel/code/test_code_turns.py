"""Turns whose model runs Python: what the cell's outputs are, in a real kernel and sandbox."""

from __future__ import annotations

import pytest

from tests.kernel.client import Notebook
from tests.kernel.test_interrupt import interrupted, shows

pytestmark = pytest.mark.bubblewrap


def test_displays_appear_once_and_in_order(shared: Notebook) -> None:
    result = shared.run("chart the sales")
    assert result.reply["status"] == "ok"
    code, table, chart, last, answer = result.final
    assert code["data"]["text/plain"].endswith("\n... float(sales.sales.mean())\nrows: 2")
    assert "<th>0</th>\n      <td>north</td>" in table["data"]["text/html"]
    assert "<iframe" not in table["data"]["text/html"]
    assert chart["data"]["image/png"].startswith("iVBOR")
    assert last["data"]["text/plain"] == "mean:\n3.875"
    assert answer["data"]["text/plain"].startswith("On average 3.875")


def test_a_picture_is_not_listed_again_as_a_file(shared: Notebook) -> None:
    final = shared.run("show a picture that it saved").final
    assert ["image/png" in each["data"] for each in final] == [False, True, False, False]
    assert final[-1]["data"]["text/plain"].startswith("Wrote `other.txt`")


def test_a_figure_saved_to_a_file_is_shown_once(shared: Notebook) -> None:
    final = shared.run("save a figure and show it").final
    assert ["image/png" in each["data"] for each in final] == [False, True, False, False]
    assert final[-1]["data"]["text/plain"].startswith("Wrote `figure.png`")


def test_a_stopped_call_keeps_what_it_printed(shared: Notebook) -> None:
    sent = shared.send("print for ever", cell_id="c")
    shared.collect(sent, until=shows("begun\\n"))
    (call,) = [text for text in interrupted(shared, sent).plain if text.startswith(">>> import time")]
    assert "\nbegun\n" in call
