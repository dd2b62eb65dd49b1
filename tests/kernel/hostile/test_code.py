"""Hostile code ends with a clear message, and harms neither the kernel nor the next cell.

What it displays is in the notebook of `test_hostile`, in a browser.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.kernel.client import Notebook
from tests.kernel.hostile.cells import BOMB, ENDS, FOREVER
from tests.kernel.hostile.conftest import WHO, Ran, run

pytestmark = pytest.mark.bubblewrap

ADDRESS = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def ran(runs_hostile_code: Callable[[str], Ran]) -> Ran:
    return runs_hostile_code(ADDRESS)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("name", ENDS)
def test_hostile_code_is_told(ran: Ran, who: str, name: str) -> None:
    shown = json.dumps(ran[who, name])
    assert ENDS[name][1] in shown
    assert len(shown) < 1_000_000


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("name", FOREVER)
def test_endless_code_is_stopped(ran: Ran, who: str, name: str) -> None:
    shown = ran[who, name]
    assert "begun" in json.dumps(shown)
    assert [each["traceback"] for each in shown if "Stopped by you" in json.dumps(each)]


def test_samples_are_displayed_and_told(ran: Ran) -> None:
    cells = [shown for (_, name), shown in ran.items() if name.startswith("show")]
    assert len(cells) > 4
    for shown in cells:
        assert len(shown) > 20
        assert "Traceback" in json.dumps(shown)


def test_the_session_still_runs_cells(ran: Ran, shared: Notebook) -> None:
    assert shared.run("%%python\n6 * 7").plain[-1] == "42"


@pytest.mark.slow
@pytest.mark.parametrize("who", WHO)
def test_a_fork_bomb_is_stopped(shared: Notebook, who: str) -> None:
    assert "Stopped by you" in json.dumps(run(shared, who, BOMB, stopped=True))
    assert shared.run("%%python\n6 * 7").plain[-1] == "42"
    left = shared.run("!grep -als AGENT_KERNEL_JOB=program/python /proc/[0-9]*/environ | wc -l")
    assert left.plain[-1].split()[0] == "1", "the new session"
