"""The second example, moved in the middle: the rest of it has the saved answers in the other sandbox."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import nbformat
import pytest

from agent_kernel.runtime.kept import KeptSession
from agent_kernel.runtime.local import LocalRuntime
from tests.cli.moving import Environment, cleared, done, in_runtime, other_folder, shell
from tests.conftest import CHECKOUT
from tests.notebooks.saved import read
from tests.runtime.test_contract import turn

NOTEBOOKS = CHECKOUT / "notebooks"
BEFORE = 4
"""Prompts that run before the move; the table is cleaned by then."""


@pytest.fixture
def folders(own_environment: Environment, tmp_path: Path) -> Iterator[dict[str, Environment]]:
    found = {name: other_folder(own_environment, tmp_path, name) for name in ("bubblewrap", "docker")}
    for environment in found.values():
        del environment["AGENT_KERNEL_MODEL"]
    yield found
    for environment in found.values():
        in_runtime(environment, cleared)


def cells() -> list[nbformat.NotebookNode]:
    notebook = read(NOTEBOOKS / "02_late_payers.ipynb")
    return [cell for cell in notebook.cells if cell.cell_type == "code" and not cell.source.startswith("%")]


def shown(cell: nbformat.NotebookNode) -> str:
    """Return what a cell has saved, as words."""
    data = [output.get("data", {}) for output in cell.outputs]
    return " ".join(" ".join(each.get("text/markdown", each.get("text/plain", "")).split()) for each in data)


def figures(text: str) -> set[str]:
    return set(re.findall(r"\d[\d,.]*\d|\d", text))


async def ask(runtime: LocalRuntime, session: KeptSession, asked: list[nbformat.NotebookNode]) -> KeptSession:
    """Run cells; each answer must be the saved one. Return the session as it is afterwards."""
    last = session.response_id
    for cell in asked:
        response = await turn(
            runtime, cell.source, previous_response_id=last, **shell(session.container_id or "")
        )
        assert response.status == "completed", response.error
        assert figures(response.output_text) <= figures(shown(cell))
        assert figures(response.output_text)
        last = response.id
    return KeptSession(response_id=last, container_id=session.container_id)


async def invoices() -> AsyncIterator[bytes]:
    yield (NOTEBOOKS / "data" / "invoices.csv.gz").read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.docker
@pytest.mark.bubblewrap
@pytest.mark.usefixtures("docker_engine")
@pytest.mark.parametrize(("here", "there"), [("bubblewrap", "docker"), ("docker", "bubblewrap")])
def test_example_goes_on_after_its_move(
    folders: dict[str, Environment], tmp_path: Path, here: str, there: str
) -> None:
    async def begin(runtime: LocalRuntime) -> KeptSession:
        container = (await runtime.containers.create({"name": "late payers"})).id
        await runtime.containers.files.create(container, path="invoices.csv.gz", content=invoices())
        made = await ask(runtime, KeptSession(container_id=container), cells()[:BEFORE])
        return await runtime.keep_session(made)

    made = in_runtime(folders[here], begin)
    file = str(tmp_path / "late.session")
    done(
        "export",
        made.id,
        file,
        "--notebook",
        str(NOTEBOOKS / "02_late_payers.ipynb"),
        environment=folders[here],
    )
    notebook = tmp_path / "moved.ipynb"
    done("import", file, "--notebook", str(notebook), environment=folders[there])
    assert notebook.read_bytes() == (NOTEBOOKS / "02_late_payers.ipynb").read_bytes()

    async def go_on(runtime: LocalRuntime) -> None:
        moved = await runtime.kept_session(made.id)
        assert moved.notebook == f"{socket.gethostname()}:{notebook}"
        await ask(runtime, moved, cells()[BEFORE:])

    in_runtime(folders[there], go_on)
