"""A notebook's settings travel with the notebook, and a kernel that cannot read them keeps asking."""

from __future__ import annotations

import json
import logging
import stat
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.config.jupyter import jupyter_start
from agent_kernel.kernel.origin.origin import NotebookOrigin
from agent_kernel.kernel.origin.start import JupyterStart
from agent_kernel.kernel.preferences import Preferences
from agent_kernel.policy.rules import read_policy
from tests.kernel.notebooks import write_notebook
from tests.kernel.origin.served import JupyterServer, ServedNotebook, jupyter_server
from tests.kernel.running import use_kernels

pytestmark = [pytest.mark.bubblewrap, pytest.mark.timeout(120)]

OURS = {"model": "nosuch/ours", "instructions": "Ours.", "budget": {"tool_calls": 7}, "approval": "ask"}
OTHERS = {"model": "nosuch/other", "instructions": "Other.", "budget": {"tool_calls": 9}, "approval": "auto"}
ASK = read_policy("ask")
STAYS = "The approval policy that this notebook had before stays in force."

Make = Callable[[str], ServedNotebook]


@pytest.fixture(scope="module")
def server(jupyter_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    with pytest.MonkeyPatch.context() as patch:
        use_kernels(jupyter_path, patch)
        root = tmp_path_factory.mktemp("served")
        with jupyter_server(root, tmp_path_factory.mktemp("jupyter-server")) as server:
            yield server


@pytest.fixture
def served(server: JupyterServer) -> Iterator[Make]:
    """Open notebooks on the server; their kernels end with the test."""
    opened: list[ServedNotebook] = []

    def make(path: str) -> ServedNotebook:
        save(server.root / path, OURS)
        opened.append(ServedNotebook(server, path))
        return opened[-1]

    yield make
    for notebook in opened:
        notebook.close()


@pytest.fixture(scope="module")
def session(server: JupyterServer) -> Iterator[ServedNotebook]:
    """One session whose kernel is not used: these tests read its notebook's settings themselves."""
    save(server.root / "shared.ipynb", OURS)
    notebook = ServedNotebook(server, "shared.ipynb")
    yield notebook
    notebook.close()


@pytest.fixture
def start(session: ServedNotebook) -> Iterator[JupyterStart]:
    """The start of that session's kernel, with its notebook's settings read and kept."""
    server = session.server
    save(server.root / "shared.ipynb", OURS)
    yield JupyterStart(session.connection_file, server.root / "shared.ipynb", server.file)
    NotebookOrigin(JupyterStart(session.connection_file, server.root), logging.getLogger()).forget()


def save(path: Path, settings: dict[str, Any] | None) -> None:
    write_notebook(path, [])
    notebook = json.loads(path.read_text())
    notebook["metadata"] |= {} if settings is None else {"agent_kernel": settings}
    path.write_text(json.dumps(notebook))


async def read(start: JupyterStart) -> tuple[Preferences, str]:
    found = await NotebookOrigin(start, logging.getLogger()).read()
    return found.preferences, found.problem


def shown(notebook: ServedNotebook) -> list[str]:
    """What the kernel says about its settings, and anything else that it prints."""
    cells = ("%budget", "%instructions", "%approve", "%model")
    return [text for cell in cells for text in notebook.run(cell).plain]


def is_ours(said: list[str]) -> bool:
    text = "\n".join(said)
    return len(said) == 4 and all(each in text for each in ("7 tool calls", "Ours.", "ask", "nosuch/ours"))


# --- kernels of the server ------------------------------------------------------------------------------


def test_settings_follow_a_renamed_notebook(served: Make, server: JupyterServer) -> None:
    notebook = served("old.ipynb")
    assert is_ours(shown(notebook))
    for old, new in pairwise(["old.ipynb", "renamed.ipynb", "a folder/ümlaut 50%25.ipynb"]):
        server.rename(notebook.session_id, old, new)
        save(server.root / old, OTHERS)
        notebook.restart()
        assert is_ours(shown(notebook))


def test_kernel_that_cannot_read_settings_keeps_asking(served: Make, server: JupyterServer) -> None:
    notebook = served("deleted.ipynb")
    assert is_ours(shown(notebook))
    (server.root / "deleted.ipynb").unlink()
    notebook.restart()
    first, *more = notebook.run("%approve").plain
    assert "there is no file `deleted.ipynb`" in first
    assert STAYS in first
    assert "ask" in more[0]
    assert "deleted" not in "".join(notebook.run("%approve").plain)  # said once
    save(server.root / "deleted.ipynb", OURS)
    assert is_ours(shown(notebook))
    kept = server.file.with_name(f"agent-kernel-{notebook.kernel_id}.approval")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    notebook.close()
    assert not kept.exists()


# --- what else may happen to the file and the server ------------------------------------------------------


def delete(path: Path) -> None:
    path.unlink()


def tear(path: Path) -> None:
    path.write_text(path.read_text()[:-20])


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [delete, tear, replace_by_folder])
async def test_unreadable_notebook_keeps_its_approval(
    start: JupyterStart, damage: Callable[[Path], None]
) -> None:
    path = start.session_path
    assert path is not None
    assert await read(start) == (Preferences("nosuch/ours", "Ours.", {"tool_calls": 7}, ASK), "")
    damage(path)
    preferences, problem = await read(start)
    if path.is_dir():
        path.rmdir()
    assert preferences == Preferences(approval=ASK)
    assert problem.startswith("This notebook's settings could not be read: ")
    assert "`shared.ipynb`" in problem
    assert STAYS in problem


def changed(file: Path, **values: object) -> Path:
    new = file.with_name("changed.json")
    new.write_text(json.dumps(json.loads(file.read_bytes()) | values))
    return new


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (None, "there is no missing.json"),
        ({"token": "wrong"}, "HTTP status 403"),
        ({"port": 1}, "it does not answer (ConnectionRefusedError)"),
        ({"sock": "/nonexistent"}, "it does not answer (FileNotFoundError)"),
        ({"token": "two\r\nlines"}, "its address or its token cannot be used"),
    ],
)
async def test_server_not_asked_leaves_the_first_path(
    start: JupyterStart, values: dict[str, object] | None, why: str
) -> None:
    assert start.server_file is not None
    assert (await read(start))[0].approval == ASK
    file = start.server_file.with_name("missing.json")
    if values is not None:
        file = changed(start.server_file, **values)
    save(Path(str(start.session_path)), OTHERS)
    preferences, problem = await read(JupyterStart(start.connection_file, start.session_path, file))
    assert preferences == Preferences("nosuch/other", "Other.", {"tool_calls": 9}, ASK)
    assert why in problem
    assert "read from `shared.ipynb`" in problem
    assert "wrong" not in problem


async def test_policy_of_readable_notebook_replaces_the_kept(start: JupyterStart) -> None:
    path = Path(str(start.session_path))
    assert (await read(start))[0].approval == ASK
    for settings in (OTHERS, None):
        save(path, settings)
        assert (await read(start))[1] == ""
    delete(path)
    preferences, problem = await read(start)
    assert preferences == Preferences()
    assert STAYS not in problem


async def test_damaged_record_means_asking(start: JupyterStart) -> None:
    start.connection_file.with_name(f"agent-kernel-{start.kernel_id}.approval").write_text("{")
    delete(Path(str(start.session_path)))
    assert (await read(start))[0] == Preferences(approval=ASK)


async def test_kernel_without_a_session_reads_no_notebook(start: JupyterStart) -> None:
    stranger = start.connection_file.with_name("kernel-of-nobody.json")
    assert await read(JupyterStart(stranger)) == (Preferences(), "")
    assert await read(JupyterStart(stranger, None, start.server_file)) == (Preferences(), "")
    preferences, problem = await read(JupyterStart(stranger, start.session_path, start.server_file))
    assert preferences == Preferences()
    assert "the Jupyter server has no notebook for this kernel" in problem


def test_start_is_read_from_the_environment(
    session: ServedNotebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, connection = session.server.file, str(session.connection_file)
    pid = file.stem.partition("-")[2]
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    start = jupyter_start(connection, {"JPY_SESSION_NAME": "/a/b.ipynb", "JPY_PARENT_PID": pid})
    assert (start.session_path, start.server_file) == (Path("/a/b.ipynb"), file)
    assert start.kernel_id == session.kernel_id
    assert jupyter_start(connection, {"JPY_PARENT_PID": "x"}) == JupyterStart(session.connection_file)
    assert "secret" not in repr(jupyter_start(connection, {"JUPYTERHUB_API_TOKEN": "secret"}))


@pytest.mark.slow
async def test_server_on_a_socket_file_is_asked(
    jupyter_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_kernels(jupyter_path, monkeypatch)
    with jupyter_server(tmp_path, tmp_path, f"--ServerApp.sock={tmp_path / 'socket'}") as server:
        start = JupyterStart(tmp_path / "kernel-x.json", tmp_path / "x.ipynb", server.file)
        assert "has no notebook for this kernel" in (await read(start))[1]
