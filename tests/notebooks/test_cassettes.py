"""Notebooks are recorded by a command and replayed by pytest, which says what differs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent_kernel.cassettes.cassette import Cassette
from agent_kernel.cassettes.reading import read
from agent_kernel.models.script import ScriptedCall, load_packaged
from tests.conftest import CHECKOUT
from tests.models.local.server import Llama
from tests.notebooks.birds import HEAVIER, notebook_in, record
from tests.notebooks.replaying import run_pytest

Environment = dict[str, str]

CASSETTES = CHECKOUT / "notebooks" / "cassettes"
DESKTOP = "05_web_form"
"""The example without a cassette: its screenshots differ from run to run."""


@pytest.mark.bubblewrap
@pytest.mark.timeout(300)
def test_changed_data_is_reported_with_cell_command_and_numbers(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_KERNEL_SANDBOX", "bubblewrap")
    notebook = notebook_in(tmp_path / "birds")
    recorded = record(notebook)
    assert recorded.returncode == 0, recorded.stderr
    assert "birds.ipynb: recorded, 1 cell, scripted/" in recorded.stdout
    [cell] = read(notebook.parent / "cassettes" / "birds.yaml").cells
    assert (cell.cell, cell.asks) == ("cell-1", "Weigh the birds")

    refused = record(notebook)
    assert refused.returncode == 2
    assert "agent-kernel record --update" in refused.stderr

    notebook.with_name("birds.csv").write_text(HEAVIER)
    notebook.with_name("birds-script.yaml").unlink()
    done = run_pytest(notebook.parent, "--agent-kernel", "--nbval-lax")
    assert done.returncode == 1, done.stdout
    assert "1 failed, 1 passed" in done.stdout
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert "birds.ipynb, code cell 1: drift" in lines
    assert any("in cell cell-1 “Weigh the birds” printed something other" in line for line in lines)
    assert any(line.startswith("step 1, awk -F,") for line in lines)
    assert "4050 → 4150 (+100, +2.47%)" in lines


def recorded(name: str, folder: Path, **settings: str) -> Cassette:
    """Record an example from its top with these settings, and return its cassette."""
    folder.mkdir()
    shutil.copytree(CHECKOUT / "notebooks" / "data", folder / "data")
    shutil.copy(CHECKOUT / "notebooks" / f"{name}.ipynb", folder)
    command = [sys.executable, "-m", "agent_kernel", "record", str(folder / f"{name}.ipynb")]
    done = subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return read(folder / "cassettes" / f"{name}.yaml")


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.timeout(900)
def test_cassette_from_docker_is_recorded_there_again(
    environment: Environment, docker_engine: None, tmp_path: Path
) -> None:
    """The committed one replays on bubblewrap, see `test_examples.py`."""
    committed = read(CASSETTES / "02_late_payers.yaml")
    assert committed.recorded_in.sandbox == "docker"
    again = recorded("02_late_payers", tmp_path / "again", AGENT_KERNEL_SANDBOX="docker")
    assert again.recorded_in.sandbox == "docker"
    assert again.recorded_in.image.startswith("sha256:")
    assert again.cells == committed.cells


@pytest.mark.slow
@pytest.mark.bubblewrap
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["01_first_questions", "02_late_payers"])
def test_example_recorded_from_a_real_server_replays(
    name: str, environment: Environment, llama: Llama, tmp_path: Path
) -> None:
    """llama.cpp's server with a tiny model: what it says is of no use, but it replays as it was said."""
    settings = {
        "AGENT_KERNEL_SANDBOX": "bubblewrap",
        "AGENT_KERNEL_MODEL": "chat/smollm2",
        "AGENT_KERNEL_UPSTREAM_URL": llama.url,
        "AGENT_KERNEL_BUDGET": "tool_calls=3",
        "AGENT_KERNEL_INSTRUCTIONS": "Answer in one sentence.",
        "AGENT_KERNEL_MAX_STEP_TOKENS": "120",
    }
    cassette = recorded(name, tmp_path / "real", **settings)
    assert cassette.model == "chat/smollm2"
    assert cassette.cells
    path = tmp_path / "real" / f"{name}.ipynb"
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("AGENT_KERNEL_SANDBOX", "AGENT_KERNEL_BUDGET", "AGENT_KERNEL_INSTRUCTIONS"):
            patch.setenv(variable, settings[variable])
        done = run_pytest(path, "--agent-kernel", "--nbval-lax")
    assert done.returncode == 0, done.stdout


def test_other_notebooks_and_other_runs_are_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "birds"
    notebook_in(folder)
    ours = run_pytest(folder, "--agent-kernel", "--collect-only")
    assert "2 tests collected" in ours.stdout, ours.stdout + ours.stderr
    off = run_pytest(folder)
    assert "no tests ran" in off.stdout
    loaded = "[name for name in sys.modules if name.startswith(('nb', 'agent_kernel.'))]"
    probe = f"import sys, agent_kernel.integrations.pytest_plugin; print(len({loaded}))"
    counted = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert counted.stdout.strip() == "2", "the plugin and its package"


def test_cassettes_are_those_of_the_scripts() -> None:
    """Every example has a cassette, and its script was not edited since: the calls are the same."""
    scripted = [
        [json.loads(move.arguments) for step in turn.steps for move in step if isinstance(move, ScriptedCall)]
        for turn in load_packaged().turns
    ]
    names = sorted(path.stem for path in CASSETTES.glob("*.yaml"))
    assert [*names, DESKTOP] == sorted(path.stem for path in CASSETTES.parent.glob("*.ipynb"))
    for name in names:
        for cell in read(CASSETTES / f"{name}.yaml").cells:
            calls = [call.fields.get("action") or call.fields for _, call in cell.calls()]
            assert calls in scripted, f"{name}, {cell.name}: record it again"
