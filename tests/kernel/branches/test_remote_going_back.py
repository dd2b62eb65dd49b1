"""Going back on a runtime elsewhere: `agent-kernel serve` in its own process, on both backends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT
from tests.forked import serve
from tests.kernel.branches.test_going_back import edit_and_run_again
from tests.kernel.running import running
from tests.kernel.test_remote import FOREIGN, KEY
from tests.kernel.upstream import Played


@pytest.fixture(
    params=[
        pytest.param("bubblewrap", marks=pytest.mark.bubblewrap),
        pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.slow]),
    ]
)
def sandbox(request: pytest.FixtureRequest) -> str:
    if request.param == "docker":
        request.getfixturevalue("docker_engine")
    return str(request.param)


@pytest.fixture
def server(sandbox: str, kernel_data: Path, tmp_path: Path, upstream: Played) -> Iterator[str]:
    """The address of a server whose model is `upstream`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    environment = kept | {
        "AGENT_KERNEL_DATA_DIR": str(kernel_data),
        "AGENT_KERNEL_SANDBOX": sandbox,
        "AGENT_KERNEL_MODEL": "chat/played",
        "AGENT_KERNEL_UPSTREAM_URL": upstream.url,
        "AGENT_KERNEL_UPSTREAM_KEY": "sk-secret-of-the-tests",
        "AGENT_KERNEL_API_KEY": KEY,
        "JUPYTER_CONFIG_DIR": str(tmp_path / "no-config"),
        "PYTHONPATH": str(CHECKOUT),
    }
    process, url = serve(environment=environment)
    yield url
    process.terminate()
    process.wait(60)


def test_a_cell_goes_back_on_a_server(
    server: str, jupyter_path: Path, tmp_path: Path, upstream: Played
) -> None:
    settings = {"AGENT_KERNEL_RUNTIME_URL": server, "AGENT_KERNEL_API_KEY": KEY}
    (tmp_path / "notebook").mkdir()
    with running(jupyter_path, tmp_path / "notebook", "agent-demo", **settings) as notebook:
        edit_and_run_again(notebook, upstream)
        number = notebook.run("!echo more >/mnt/data/a.txt", cell_id="d").reply["execution_count"]
        assert "+more" in notebook.run(f"%diff --cell {number}").plain[0]
