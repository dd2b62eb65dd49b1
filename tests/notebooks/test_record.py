"""Two runs of a notebook, each from a fresh kernel: the same outputs, byte for byte, metadata aside.

The pictures too, which nbval passes over. Both run side by side, so that neither has the machine for itself.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from agent_kernel.cli.install import install_spec

CHECKOUT = Path(__file__).parents[2]
NOTEBOOKS = sorted((CHECKOUT / "notebooks").glob("*.ipynb"))

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def environment(
    own_environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The environment of a person who has the kernel installed and nothing set, as that of this process."""
    install_spec(str(tmp_path))
    for name in set(os.environ) - set(own_environment):
        monkeypatch.delenv(name)
    for name, value in own_environment.items():
        monkeypatch.setenv(name, value)
    return own_environment


async def run_all(path: Path) -> str:
    """What the cells show after a run from a fresh kernel, as the file has it."""
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    resources = {"metadata": {"path": str(path.parent)}}
    await NotebookClient(notebook, kernel_name="agent", timeout=300, resources=resources).async_execute()
    return outputs_of(notebook)


def outputs_of(notebook: nbformat.NotebookNode) -> str:
    """The outputs alone, one to a line."""
    without_metadata = [
        {name: value for name, value in output.items() if name != "metadata"}
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    ]
    return "\n".join(json.dumps(output, sort_keys=True) for output in without_metadata)


async def compare(path: Path) -> None:
    first, second = await asyncio.gather(run_all(path), run_all(path))
    assert second.split("\n") == first.split("\n")
    assert '"image/png"' in first


@pytest.mark.bubblewrap
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
async def test_in_bubblewrap(path: Path, environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_KERNEL_SANDBOX", "bubblewrap")
    await compare(path)


@pytest.mark.docker
@pytest.mark.parametrize("path", NOTEBOOKS[:1], ids=lambda path: path.stem)
async def test_in_docker(
    path: Path, environment: None, docker_engine: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_KERNEL_SANDBOX", "docker")
    await compare(path)
