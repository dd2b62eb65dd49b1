"""Terminals into the container over the comm: real shells, also while a cell runs."""

from __future__ import annotations

from typing import Any

import pytest

from agent_kernel.kernel.panel.held.terminal import MOST_TERMINALS
from tests.kernel.client import Notebook
from tests.kernel.panel.page import Page
from tests.kernel.panel.test_panel import refused

pytestmark = pytest.mark.bubblewrap


class Shell:
    """A terminal of a page's."""

    def __init__(self, page: Page, name: str = "t", rows: int = 24, columns: int = 80) -> None:
        self.page, self.name, self.seen = page, name, 0
        page.result("terminal", {"terminal": name, "rows": rows, "columns": columns})

    def type(self, text: str) -> None:
        self.page.result("terminal-write", {"terminal": self.name}, [text.encode()])

    def read(self) -> tuple[str, int | None]:
        answer, buffers = self.page.with_buffers("terminal-read", {"terminal": self.name, "seen": self.seen})
        self.seen = answer["number"]
        return b"".join(buffers).decode(), answer["code"]

    def until(self, wanted: str) -> str:
        shown = ""
        while wanted not in shown:
            piece, code = self.read()
            assert code is None, shown
            shown += piece
        return shown

    def ended(self) -> int:
        code = None
        while code is None:
            _, code = self.read()
        return code


def test_terminal_shows_what_is_typed_and_done_while_a_cell_runs(page: Page, kernel: Notebook) -> None:
    sent = kernel.send("wait for ever", cell_id="cell-1")
    page.state(lambda state: state["cell"] is not None and state["container"]["id"] is not None)
    shell = Shell(page)
    shell.type("stty size; pwd; echo sum=$((20 + 3))\n")
    shown = shell.until("sum=23")
    assert "24 80" in shown
    assert "/mnt/data" in shown
    page.result("terminal-resize", {"terminal": "t", "rows": 40, "columns": 100})
    shell.type("stty size\n")
    shell.until("40 100")
    shell.type("exit 3\n")
    assert shell.ended() == 3
    page.result("stop")
    assert kernel.reply(sent)["status"] == "error"
    page.result("terminal-end", {"terminal": "t"})
    assert "ended" in refused(page.ask("terminal-read", {"terminal": "t", "seen": 0}))


def test_lost_answer_is_given_again(page: Page) -> None:
    shell = Shell(page)
    shell.until("$")
    before = shell.seen
    shell.type("echo again\n")
    first = shell.read()
    shell.seen = before
    assert shell.read() == first


def test_endless_output_waits_for_the_page_and_is_interrupted(page: Page, kernel: Notebook) -> None:
    shell = Shell(page)
    shell.until("$")
    shell.type("yes\n")
    shell.until("y\r\ny\r\ny")
    assert kernel.run("!echo alive").reply["status"] == "ok"
    shell.type("\x03")
    shell.type("echo in''terrupted\n")
    shell.until("interrupted")


def test_terminals_are_bounded_and_end_with_their_page(page: Page, kernel: Notebook) -> None:
    other = Page(kernel)
    for number in range(MOST_TERMINALS):
        Shell(other, f"{number}")
    last = {"terminal": "t", "rows": 24, "columns": 80}
    assert "Too many terminals" in refused(page.ask("terminal", last))
    other.close()
    Shell(page).until("$")
    shown = kernel.run("!sleep 2; pgrep -c -f 'bash --noprofile --norc -i'").plain[-1]
    assert shown.splitlines()[-1].strip() == "1", shown


def test_replaced_container_ends_its_terminal(page: Page, kernel: Notebook) -> None:
    shell = Shell(page)
    shell.until("$")
    assert kernel.run("%container --new").reply["status"] == "ok"
    answer = page.ask("terminal-read", {"terminal": "t", "seen": shell.seen})
    while "error" not in answer:
        assert answer["result"]["code"] is None
        shell.seen = answer["result"]["number"]
        answer = page.ask("terminal-read", {"terminal": "t", "seen": shell.seen})
    assert refused(answer)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("terminal", {"terminal": "t"}),
        ("terminal", {"terminal": "t", "rows": 0, "columns": 80}),
        ("terminal", {"terminal": "t", "rows": 24, "columns": 10**9}),
        ("terminal", {"terminal": "t" * 100, "rows": 24, "columns": 80}),
        ("terminal-read", {"terminal": "none", "seen": 0}),
        ("terminal-write", {"terminal": "none"}),
        ("terminal-resize", {"terminal": "none", "rows": 1, "columns": 1}),
    ],
)
def test_malformed_question_about_terminals_is_refused(
    page: Page, name: str, arguments: dict[str, Any]
) -> None:
    assert refused(page.ask(name, arguments))
