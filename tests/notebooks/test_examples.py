"""The examples give their saved outputs, pictures included, on each backend and on a server."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx2
import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import CHECKOUT
from tests.notebooks.replaying import run_pytest
from tests.notebooks.saved import assert_equal, outputs, read, saved

SLOW = pytest.mark.slow
SANDBOXES = [
    pytest.param("bubblewrap", marks=[pytest.mark.bubblewrap, SLOW]),
    pytest.param("docker", marks=[pytest.mark.docker, SLOW]),
]
"""Where nbval runs the last notebook. It runs without nbval in any case."""
NOTEBOOKS = ["01_first_questions", "02_late_payers", "03_own_data", "04_one_session"]
ON_DOCKER = [pytest.param(name, marks=SLOW) for name in NOTEBOOKS]
"""They ask Docker for nothing that `tests/kernel/firsts` and the contract of runtimes do not."""
IN_BUBBLEWRAP = [pytest.param(name, marks=SLOW) for name in NOTEBOOKS]
"""The first is what `agent-kernel demo` runs; its test compares the outputs too. All run with cassettes."""

pytestmark = pytest.mark.timeout(300)

Environment = dict[str, str]


async def run(name: str) -> list[str]:
    """Run a notebook in a new kernel and return its outputs."""
    path = CHECKOUT / "notebooks" / f"{name}.ipynb"
    notebook = read(path)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    resources = {"metadata": {"path": str(path.parent)}}
    await NotebookClient(notebook, kernel_name="agent", timeout=300, resources=resources).async_execute()
    return outputs(notebook)


def without_pictures(outputs: list[str]) -> list[str]:
    """Leave out the bytes of pictures: another version of matplotlib draws others."""
    return [re.sub(r'"image/png": "[^"]+"', '"image/png": "..."', output) for output in outputs]


def nothing_left(environment: Environment) -> None:
    sandboxes = Path(environment["AGENT_KERNEL_DATA_DIR"]) / "sandboxes"
    assert not sandboxes.exists() or not any(sandboxes.iterdir()), "a sandbox is left behind"


@pytest.mark.bubblewrap
@pytest.mark.parametrize("notebook", IN_BUBBLEWRAP)
async def test_bubblewrap_run_equals_saved(
    notebook: str, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_KERNEL_SANDBOX", "bubblewrap")
    assert_equal(await run(notebook), saved(notebook))
    nothing_left(environment)


@pytest.mark.docker
@pytest.mark.parametrize("notebook", ON_DOCKER)
async def test_docker_run_equals_saved(
    notebook: str, environment: Environment, docker_engine: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_KERNEL_SANDBOX", "docker")
    assert_equal(without_pictures(await run(notebook)), without_pictures(saved(notebook)))


@pytest.mark.slow
@pytest.mark.docker
async def test_docker_draws_same_pictures_again(
    environment: Environment, docker_engine: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_KERNEL_SANDBOX", "docker")
    first, second = await asyncio.gather(run("01_first_questions"), run("01_first_questions"))
    assert_equal(first, second)
    assert '"image/png"' in "".join(first)


@pytest.fixture(params=SANDBOXES)
def server(request: pytest.FixtureRequest, own_environment: Environment) -> Iterator[str]:
    """Run `agent-kernel serve` with a key, on each sandbox in turn, and yield its address."""
    if request.param == "docker":
        request.getfixturevalue("docker_engine")
    environment = {**own_environment, "AGENT_KERNEL_SANDBOX": request.param, "AGENT_KERNEL_API_KEY": "a key"}
    command = [sys.executable, "-m", "agent_kernel", "serve", "--port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line.startswith("Serving http://127.0.0.1:"), line
            yield line.removeprefix("Serving ").strip()
        finally:
            process.terminate()
    nothing_left(environment)


def test_nbval_run_on_server_equals_saved(
    environment: Environment, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run `pytest --nbval`, which compares every output but pictures; the server counts the calls.

    The kernel has no sandbox of its own here: it knows only the address and the key.
    """
    monkeypatch.delenv("AGENT_KERNEL_DATA_DIR")
    monkeypatch.setenv("AGENT_KERNEL_RUNTIME_URL", server)
    monkeypatch.setenv("AGENT_KERNEL_API_KEY", "a key")
    path = CHECKOUT / "notebooks" / "04_one_session.ipynb"
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # to import the others takes seconds
    options = ["-p", "nbval.plugin", "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={path.parent}"]
    command = [sys.executable, "-m", "pytest", "-q", *options, "--nbval", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    turns = [cell for cell in read(path).cells if cell.cell_type == "code"]
    assert done.returncode == 0, done.stdout
    assert f"{len(turns)} passed" in done.stdout
    with httpx2.Client(base_url=server, headers={"Authorization": "Bearer a key"}) as client:
        metrics = client.get(server.removesuffix("/v1") + "/metrics").text
        ran = re.findall(r'^agent_kernel_calls_total\{.*tool="(\w+)".*\} (\S+)$', metrics, re.MULTILINE)
        assert {tool: float(count) for tool, count in ran} == calls(turns)
        [left] = client.get("/containers").json()["data"]  # nbval kills its kernel: this one would expire
        client.delete(f"/containers/{left['id']}").raise_for_status()


def calls(cells: list[nbformat.NotebookNode]) -> dict[str, float]:
    """Count the calls of each tool in a saved notebook, `%%python` cells included."""
    found = Counter(
        str(item["type"]).removesuffix("_call")
        for cell in cells
        for output in cell.outputs
        if (item := output.get("data", {}).get("application/vnd.agent-kernel.item+json"))
        and item["type"] in ("shell_call", "code_interpreter_call")
    )
    found["code_interpreter"] += sum(cell.source.startswith("%%python") for cell in cells)
    return dict(found)


@pytest.mark.bubblewrap
@pytest.mark.timeout(900)
@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_replayed_cassette_gives_the_saved_outputs(
    notebook: str, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run `pytest --agent-kernel`: nbval's strict comparison, and no difference to the cassette.

    The second was recorded on Docker.
    """
    monkeypatch.setenv("AGENT_KERNEL_SANDBOX", "bubblewrap")
    path = CHECKOUT / "notebooks" / f"{notebook}.ipynb"
    done = run_pytest(path, "--agent-kernel")
    assert done.returncode == 0, done.stdout
    cells = sum(cell.cell_type == "code" for cell in read(path).cells)
    assert f"{cells} passed" in done.stdout
    nothing_left(environment)


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_saved_as_it_should_be(notebook: str) -> None:
    """Valid, with the outputs of a whole run, no error and no widget among them, no trace of a machine."""
    path = CHECKOUT / "notebooks" / f"{notebook}.ipynb"
    example = read(path)
    nbformat.validate(example)
    assert "widgets" not in example.metadata
    turns = [cell for cell in example.cells if cell.cell_type == "code"]
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
    example = read(path)
    answer = [cell for cell in example.cells if cell.cell_type == "code"][1]
    assert "Demo mode: the answers are pre-written" in answer.outputs[0].data["text/plain"]
    assert "AGENT_KERNEL_MODEL" in answer.outputs[0].data["text/plain"]
