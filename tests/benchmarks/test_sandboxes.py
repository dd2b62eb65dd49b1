"""The comparison runs, small: every contender has a row, ours have every figure, no promise is left out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent_kernel.sandboxes.toolbox import Toolbox
from benchmarks.sandboxes import report

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.bubblewrap
@pytest.mark.timeout(300)
def test_one_run_compares_everybody(docker_engine: None, toolbox: Toolbox) -> None:
    command = [sys.executable, "-m", "benchmarks.sandboxes", "--quick", "--json"]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as running:
        found = json.loads(running.communicate()[0])
    assert running.returncode == 0
    for name in (report.DOCKER, report.EMBEDDED):
        words = {column: value for column, value in found["figures"][name].items() if isinstance(value, str)}
        assert not words
        assert set(report.COLUMNS) == set(found["figures"][name])
    for peer in ("llm-sandbox", "AutoGen", "openai-agents"):
        assert found["figures"][peer]["warm"], peer  # a figure, or the reason why there is none
    assert all(target["found"] is not None for target in found["targets"])
    assert found["ratios"]["warm, docker exec / Docker"] > 5
    leftover = ["docker", "ps", "--all", "--quiet", "--filter", f"name=bench-{running.pid}-"]
    assert not subprocess.run(leftover, stdout=subprocess.PIPE, text=True, check=True).stdout


def test_a_missing_peer_is_told_and_not_left_out() -> None:
    cells: dict[str, dict[str, float | str]] = {report.DOCKER: {"warm": 2.0}}
    cells |= {"llm-sandbox": {"warm": "llm-sandbox: not installed"}}
    shown = report.table(cells)
    assert "(1) llm-sandbox: not installed" in shown
    assert any(line.startswith("llm-sandbox") and line.endswith("(1)") for line in shown.splitlines())


@pytest.mark.parametrize(("ours", "word"), [(1.9, " met"), (2.1, "NOT MET")])
def test_a_target_that_is_missed_says_so(ours: float, word: str) -> None:
    cells = {report.DOCKER: {"warm": ours}, "bare pipe in Docker": {"warm": 1.0}}
    first = report.verdicts(cells).splitlines()[0]
    assert first.endswith(word)
    assert f"{ours:.2f} x" in first
