"""Real papermill with the engine `agent`: the saved notebook says in which cell a run ended."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner
from papermill.cli import papermill

from tests.kernel.notebooks import write_notebook

pytestmark = pytest.mark.bubblewrap

ENGINE = ["--engine", "agent", "--no-progress-bar", "--log-output"]


def begin(path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "papermill", *ENGINE]
    return subprocess.Popen(
        [*command, str(path), str(path.with_name("done.ipynb"))],
        cwd=path.parent,
        stderr=subprocess.PIPE,
        text=True,
    )


def saved(path: Path) -> tuple[list[str], list[str], Any]:
    """The status of each cell, the names of the errors in the outputs, and the notebook's exception."""
    notebook = json.loads(path.with_name("done.ipynb").read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return (
        [cell["metadata"]["papermill"]["status"] for cell in cells],
        [output["ename"] for cell in cells for output in cell["outputs"] if output["output_type"] == "error"],
        notebook["metadata"]["papermill"]["exception"],
    )


@pytest.mark.parametrize("before", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_kernel_killed_in_a_cell(tmp_path: Path, jupyter: Path, before: int) -> None:
    path = tmp_path / "asked.ipynb"
    cells = [*["%budget"] * before, "wait for ever", "say hello"]
    write_notebook(path, cells, kernel="agent-short")
    with begin(path) as run:
        assert run.stderr is not None
        began = f"Executing Cell {before + 1}"
        assert any(began in line for line in run.stderr), "the cell never began"
        for process in psutil.Process(run.pid).children():
            process.kill()
        said = run.stderr.read()
    assert run.returncode != 0
    assert "Kernel died" in said
    statuses, errors, exception = saved(path)
    assert statuses == [*["completed"] * before, "failed", "pending"]
    assert (errors, exception) == (["DeadKernelError"], True)


@pytest.mark.parametrize(
    ("cells", "options", "kernel", "statuses", "error"),
    [
        (["%budget", "wait for ever", "%budget"], ["--execution-timeout", "2"], "agent-short",
         ["completed", "failed", "pending"], "CellTimeoutError"),
        (["%budget", "%budget"], [], "agent-broken", ["failed", "pending"], "FileNotFoundError"),
        pytest.param(["%budget", "%nosuch", "%budget"], [], "agent-short",
                     ["completed", "failed", "pending"], "InvalidRequest", marks=pytest.mark.slow),
        pytest.param(["%budget", "%budget"], [], "agent-short",
                     ["completed", "completed"], None, marks=pytest.mark.slow),
    ],
    ids=["a time limit", "no kernel", "an error", "no error"],
)  # fmt: skip
def test_run_that_ends_early(
    tmp_path: Path,
    jupyter: Path,
    monkeypatch: pytest.MonkeyPatch,
    cells: list[str],
    options: list[str],
    kernel: str,
    statuses: list[str],
    error: str | None,
) -> None:
    if kernel == "agent-broken":
        broken = tmp_path / "kernels" / kernel
        broken.mkdir(parents=True)
        spec = {"argv": [str(tmp_path / "missing")], "display_name": "Broken", "language": "agent"}
        (broken / "kernel.json").write_text(json.dumps(spec))
        monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    path = tmp_path / "asked.ipynb"
    write_notebook(path, cells, kernel=kernel)
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke(papermill, [*ENGINE, *options, str(path), str(path.with_name("done.ipynb"))])
    assert (run.exit_code == 0) == (error is None)
    found, errors, exception = saved(path)
    assert (found, errors[-1:]) == (statuses, [error] if error else [])
    assert exception == (True if error else None)
