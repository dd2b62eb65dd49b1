"""Sessions that outlive their kernel, in real kernels on a local runtime."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.cli.command import call
from tests.forked import serve
from tests.kernel.client import Notebook
from tests.kernel.running import running

pytestmark = pytest.mark.bubblewrap

SCRIPT = Path(__file__).parents[1] / "script.yaml"

Kernel = Callable[..., AbstractContextManager[Notebook]]


def notebook_file(folder: Path, **ours: object) -> Path:
    """A notebook with these settings in its metadata."""
    path = folder / "sales.ipynb"
    written = {"cells": [], "metadata": {"agent_kernel": ours}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(written))
    return path


@pytest.fixture
def kernel(jupyter_path: Path, tmp_path: Path) -> Iterator[Kernel]:
    """Starts a kernel of one and the same notebook, which keeps it."""

    @contextmanager
    def started(name: str = "agent", folder: Path = tmp_path, **settings: str) -> Iterator[Notebook]:
        path = folder / "sales.ipynb"
        if not path.exists():
            notebook_file(folder, keep=True)
        with running(jupyter_path, folder, name, AGENT_KERNEL_NOTEBOOK=str(path), **settings) as notebook:
            yield notebook

    yield started
    if (tmp_path / "sales.ipynb").exists():
        with started() as last:  # what is forgotten goes with its kernel
            last.run("%history")
            last.run("%session forget")


def test_restarted_kernel_goes_on_where_it_was(kernel: Kernel) -> None:
    with kernel() as notebook:
        notebook.run("remember", cell_id="a")
        notebook.run("count in Python", cell_id="b")
        notebook.run("%model scripted/demo")
        notebook.run("%model --default\n%budget tokens=70000")
        notebook.client.stop_channels()
        notebook.manager.restart_kernel(now=False)
        notebook._connect()
        back = notebook.run("what was it", cell_id="c")
        assert back.plain[0] == (
            "Resumed session `sales`, kept just now: files, packages, shell state, conversation and the "
            "history of 2 cells are back."
        )
        assert back.plain[-1] == "It was blue."
        assert back.reply["execution_count"] == 5
        assert "70,000" in notebook.run("%budget").plain[0]
        assert notebook.run("tell the total").plain[-1].startswith("It is 42")
        rewound = notebook.run("remember", cell_id="a", again=True)
        assert "the work of" in rewound.plain[0]
        assert "kept as branch b2" in rewound.plain[0]
    with kernel() as notebook:
        assert "2 branches" in notebook.run("%history").plain[0]


def test_killed_kernel_leaves_its_session(kernel: Kernel) -> None:
    with kernel() as notebook:
        notebook.run("remember")
        sent = notebook.send("wait for ever")
        notebook.collect(sent, until=lambda message: "begun" in json.dumps(message["content"]))
        notebook.restart()
        back = notebook.run("what was it")
        assert "kept as far as it came" in back.plain[0]
        assert back.plain[-1] == "It was blue."


def test_killed_server_leaves_the_session(
    kernel: Kernel, kernel_data: Path, own_environment: dict[str, str]
) -> None:
    environment = own_environment | {
        "AGENT_KERNEL_DATA_DIR": str(kernel_data),
        "AGENT_KERNEL_MODEL": f"scripted/{SCRIPT}",
    }
    first, url = serve(environment=environment)
    with kernel(AGENT_KERNEL_RUNTIME_URL=url) as notebook:
        notebook.run("remember")
        sent = notebook.send("wait for ever")
        notebook.collect(sent, until=lambda message: "begun" in json.dumps(message["content"]))
        first.kill()
        first.wait(60)
        second, url = serve(environment=environment)
        try:
            with kernel(AGENT_KERNEL_RUNTIME_URL=url) as other:
                back = other.run("what was it")
                assert "kept as far as it came" in back.plain[0]
                assert back.plain[-1] == "It was blue."
                other.run("%session forget")
        finally:
            second.terminate()
            second.wait(60)


def test_of_two_kernels_one_goes_on(kernel: Kernel) -> None:
    with kernel() as first, kernel() as second:
        first.run("remember")
        assert "Resumed session" in second.run("what was it").plain[0]
        refused = first.run("what was it")
        assert refused.reply["status"] == "error"
        assert "Another kernel has resumed session sales" in refused.error
        assert "%session resume sales takes it back" in refused.error
        assert first.run("what was it").reply["status"] == "error"
        assert "Resumed session" in first.run("%session resume sales").plain[0]
        assert first.run("what was it").plain[-1] == "It was blue."
        assert "Another kernel" in second.run("what was it").error


def test_deleted_session_is_told_once_and_begins_anew(
    kernel: Kernel, kernel_data: Path, own_environment: dict[str, str]
) -> None:
    environment = own_environment | {
        "AGENT_KERNEL_DATA_DIR": str(kernel_data),
        "AGENT_KERNEL_SANDBOX": "bubblewrap",
    }
    with kernel() as notebook:
        notebook.run("remember")
        session = notebook.run("%session").plain[0].split("`")[-2]
        done = call("session", "delete", session, "--yes", environment=environment)
        assert done.returncode == 0, done.stderr
        refused = notebook.run("!ls")
        assert "Session sales was deleted with its files and its conversation" in refused.error
        assert "Run it again" in refused.error
        again = notebook.run("remember")
        assert again.reply["status"] == "ok", again.error
        assert "upload your files again" not in again.plain[0]
        assert "kept as" in notebook.run("%session").plain[0]
