"""`%rerun ask`: the question before a cell goes back, its answers, and where nobody can answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from agent_kernel.kernel.asking.questions import LineAsker
from agent_kernel.kernel.asking.record import in_words
from agent_kernel.kernel.asking.types import ApprovalRequest, Decision
from agent_kernel.sandboxes.base import Backend
from tests.kernel.branches.real import Cells, cells_on

pytestmark = pytest.mark.bubblewrap

QUESTION = (
    "This cell has run before. Otherwise it continues from where the notebook is.\n"
    "Go back to before this cell? The work of 1 later cell is kept as a branch. "
    "[y]es, [n]o, continue, [a]lways in this notebook: "
)


def answer_with(cells: Cells, answers: Sequence[str]) -> list[str]:
    """Let somebody type these lines, none at the end of the input. Return the questions, as they come."""
    asked, left = list[str](), list(answers)

    async def line(prompt: str) -> str:
        asked.append(prompt)
        if not left:
            raise EOFError
        return left.pop(0)

    cells.notebook.approvals.asker = LineAsker(line)
    return asked


async def test_answers_decide_whether_it_goes_back(bubblewrap_backend: Backend, tmp_path: Path) -> None:
    async with cells_on(bubblewrap_backend, tmp_path) as cells:
        await cells.run("%rerun ask")
        asked = answer_with(cells, ["no", "perhaps", "yes"])
        for name in ("a", "b"):
            await cells.run(f"!touch {name}", name)
        assert asked == [], "a first run goes nowhere"
        assert "Went back" not in await cells.run("!touch a2", "a")
        assert asked == [QUESTION]
        assert (await cells.run("!!ls")).split() == ["a", "a2", "b"]

        await cells.run("!touch c", "c")
        assert "the work of 1 later cell is kept as branch b2" in await cells.run("!touch a3", "a")
        assert asked[1:] == [QUESTION, "Please answer with one of these letters. " + QUESTION.split(". ")[-1]]
        assert (await cells.run("!!ls")).split() == ["a", "a3", "b"]

        assert "Went back" not in await cells.run("!touch a4", "a"), "a closed input continues"
        answer_with(cells, ["always"])
        assert "Went back" in await cells.run("!touch a5", "a")
        asked = answer_with(cells, [])
        assert "Went back" in await cells.run("!touch a6", "a")
        assert asked == []
        assert (await cells.run("!!ls")).split() == ["a", "a3", "a6", "b"]


async def test_where_nobody_can_answer_it_continues(bubblewrap_backend: Backend, tmp_path: Path) -> None:
    async with cells_on(bubblewrap_backend, tmp_path) as cells:
        await cells.run("%rerun ask")
        cells.notebook.approvals.asker = None
        await cells.run("!touch a", "a")
        said = await cells.run("!touch b", "a")
        assert said.startswith("No one could be asked whether to go back, so this cell continues.")
        assert (await cells.run("!!ls")).split() == ["a", "b"]


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        (Decision(True), "You chose to go back."),
        (Decision(True, remember=True), "You chose to go back, always in this notebook."),
        (Decision(False), "You chose to continue from where the notebook was."),
    ],
)
def test_decision_in_words(decision: Decision, words: str) -> None:
    request = ApprovalRequest("rerun", ("Go back to before this cell?",), "", editable=False, about="rerun")
    assert in_words(request, decision) == words
