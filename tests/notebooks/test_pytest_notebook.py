"""pytest-notebook replays a recorded notebook, set up as the guide says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.cache import folder_for, installed
from tests.conftest import CHECKOUT, Missing
from tests.notebooks.birds import HEAVIER, notebook_in, record

LOCK = Path(__file__).with_name("requirements.txt")
IGNORED = "/cells/*/outputs/*/metadata"

pytestmark = [pytest.mark.slow, pytest.mark.bubblewrap, pytest.mark.timeout(900)]


@pytest.fixture(scope="session")
def packages(missing: Missing) -> Path:
    """The folder with pytest-notebook, installed once for each lock."""
    folder = folder_for("pytest-notebook", LOCK)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--no-deps", "--require-hashes"]

    def fill() -> None:
        command = [*pip, "--target", str(folder), "-r", str(LOCK)]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)

    try:
        installed(folder, fill)
    except subprocess.CalledProcessError as error:
        missing(f"pytest-notebook cannot be installed: {error.stderr}")
    return folder


def replayed(path: Path, packages: Path) -> subprocess.CompletedProcess[str]:
    """Run pytest-notebook on a recorded notebook, with the settings that the guide names."""
    settings = path.with_name("pytest.ini")
    settings.write_text(f"[pytest]\nnb_diff_ignore = {IGNORED}\n")
    variables = {
        "AGENT_KERNEL_MODEL": f"replay/{path.parent / 'cassettes' / f'{path.stem}.yaml'}",
        "AGENT_KERNEL_NOTEBOOK": str(path),
        "AGENT_KERNEL_DRIFT": "fail",
        "PYTHONPATH": os.pathsep.join([str(packages), str(CHECKOUT)]),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    plugins = ["-p", "pytest_notebook.plugin", "-p", "no:cacheprovider"]
    options = ["-q", "--color=no", "-c", str(settings), "--nb-test-files", str(path)]
    command = [sys.executable, "-m", "pytest", *plugins, *options]
    return subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)


def test_pytest_notebook_replays_and_reports_drift(
    environment: dict[str, str], packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_KERNEL_SANDBOX", "bubblewrap")
    notebook = notebook_in(tmp_path / "birds")
    recorded = record(notebook)
    assert recorded.returncode == 0, recorded.stderr
    notebook.with_name("birds-script.yaml").unlink()
    same = replayed(notebook, packages)
    assert same.returncode == 0, same.stdout + same.stderr
    assert "1 passed" in same.stdout
    notebook.with_name("birds.csv").write_text(HEAVIER)
    changed = replayed(notebook, packages)
    assert changed.returncode == 1, changed.stdout + changed.stderr
    told = " ".join(changed.stdout.split())
    assert "in cell cell-1 “Weigh the birds” printed something other" in told
    assert "Step 1, awk -F, 'NR > 1 {s +=" in told
    assert "4050 → 4150 (+100, +2.47%)" in told


def test_the_guide_names_what_is_ignored() -> None:
    assert f"`nb_diff_ignore = {IGNORED}`" in (CHECKOUT / "docs" / "guide" / "recording.md").read_text()
