"""The saved outputs of the examples hold, to the letter, wherever the notebooks are run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from agent_kernel.cli.install import install_spec

CHECKOUT = Path(__file__).parents[2]
NOTEBOOKS = ["01_first_questions", "02_late_payers", "03_own_data"]

pytestmark = pytest.mark.timeout(300)

Environment = dict[str, str]


@pytest.fixture
def environment(own_environment: Environment, tmp_path: Path) -> Environment:
    """With the kernel installed where Jupyter looks."""
    install_spec(str(tmp_path))
    return own_environment


def nbval(notebook: str, environment: Environment) -> None:
    """Run a notebook and compare every output with the saved one."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--nbval",
        "-p",
        "no:cacheprovider",
        f"notebooks/{notebook}.ipynb",
    ]
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


def remove_containers(environment: Environment) -> None:
    """nbval kills its kernel, so that only the lease would end the container: end it now."""
    removing = [sys.executable, "-m", "agent_kernel", "containers", "rm", "--all"]
    subprocess.run(removing, env=environment, check=True, capture_output=True)
    sandboxes = Path(environment["AGENT_KERNEL_DATA_DIR"]) / "sandboxes"
    assert not sandboxes.exists() or not any(sandboxes.iterdir()), "a sandbox is left behind"


@pytest.mark.bubblewrap
@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_in_bubblewrap(notebook: str, environment: Environment) -> None:
    environment["AGENT_KERNEL_SANDBOX"] = "bubblewrap"
    try:
        nbval(notebook, environment)
    finally:
        remove_containers(environment)


@pytest.mark.docker
@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_in_docker(notebook: str, environment: Environment, docker_engine: None) -> None:
    environment["AGENT_KERNEL_SANDBOX"] = "docker"
    try:
        nbval(notebook, environment)
    finally:
        remove_containers(environment)


@pytest.fixture
def server(own_environment: Environment) -> Iterator[str]:
    """The address of an `agent-kernel serve` of its own, with a key."""
    environment = {**own_environment, "AGENT_KERNEL_SANDBOX": "bubblewrap", "AGENT_KERNEL_API_KEY": "a key"}
    command = [sys.executable, "-m", "agent_kernel", "serve", "--port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line.startswith("Serving http://127.0.0.1:"), line
            yield line.removeprefix("Serving ").strip()
        finally:
            process.terminate()
    remove_containers(environment)


@pytest.mark.bubblewrap
@pytest.mark.parametrize("notebook", ["01_first_questions", "03_own_data"])
def test_on_a_server_elsewhere(notebook: str, environment: Environment, server: str) -> None:
    """The kernel has no sandbox of its own here: the address and the key are all it knows."""
    here = {name: value for name, value in environment.items() if name != "AGENT_KERNEL_DATA_DIR"}
    remote = {"AGENT_KERNEL_RUNTIME_URL": server, "AGENT_KERNEL_API_KEY": "a key"}
    nbval(notebook, {**here, **remote})


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_saved_as_it_should_be(notebook: str) -> None:
    """Valid, with the outputs of a whole run, no error and no widget among them, no trace of a machine."""
    path = CHECKOUT / "notebooks" / f"{notebook}.ipynb"
    saved = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    nbformat.validate(saved)
    assert "widgets" not in saved.metadata
    turns = [cell for cell in saved.cells if cell.cell_type == "code"]
    assert len(turns) >= 7
    for count, cell in enumerate(turns, 1):
        assert cell.execution_count == count
        assert "execution" not in cell.metadata
        assert cell.outputs
        for output in cell.outputs:
            assert output.output_type in ("display_data", "execute_result")
            assert "text/plain" in output.data
            assert "application/vnd.jupyter.widget-view+json" not in output.data
    text = path.read_text()
    assert "/home/" not in text.replace("/home/agent", "")
    assert "/root" not in text
    assert "/tmp" not in text


def test_the_first_output_of_an_answer_says_that_a_script_is_playing() -> None:
    path = CHECKOUT / "notebooks" / "01_first_questions.ipynb"
    saved = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    answer = [cell for cell in saved.cells if cell.cell_type == "code"][1]
    assert "scripted model is playing" in answer.outputs[0].data["text/plain"]
    assert "AGENT_KERNEL_MODEL" in answer.outputs[0].data["text/plain"]
