"""The kernel on a runtime elsewhere: a real `agent-kernel serve` in a process of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.forked import serve
from tests.kernel.client import Notebook, Result, without_ids
from tests.kernel.running import running
from tests.kernel.transfer.test_sizes import SIZES, round_trip

pytestmark = pytest.mark.bubblewrap

SCRIPT = Path(__file__).parent / "script.yaml"
KEY = "key-of-the-tests"
FOREIGN = ("AGENT_KERNEL_", "OPENAI_", "JUPYTER_")
CELLS = [
    "%upload people.csv\nwhat is in people.csv",
    "remember",
    "what was it",
    "draw and save",
    "!ls; echo $COLOUR",
    "fail",
    "sing",
    "%files",
]

Start = Callable[..., Notebook]


@pytest.fixture(scope="module")
def server(kernel_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of one server for all tests of this module."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    environment = kept | {
        "AGENT_KERNEL_DATA_DIR": str(kernel_data),
        "AGENT_KERNEL_SANDBOX": "bubblewrap",
        "AGENT_KERNEL_MODEL": f"scripted/{SCRIPT}",
        "AGENT_KERNEL_API_KEY": KEY,
        "JUPYTER_CONFIG_DIR": str(tmp_path_factory.mktemp("no-config")),
        "PYTHONPATH": str(SCRIPT.parents[2]),
    }
    process, url = serve(environment=environment)
    try:
        yield url
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="module")
def reused(server: str, jupyter_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """One kernel on the server for the tests that do not end it."""
    settings = {"AGENT_KERNEL_RUNTIME_URL": server, "AGENT_KERNEL_API_KEY": KEY}
    with running(jupyter_path, tmp_path_factory.mktemp("remote"), **settings) as notebook:
        yield notebook


@pytest.fixture
def remote(reused: Notebook, request: pytest.FixtureRequest) -> Iterator[Notebook]:
    """That kernel in a new container and an empty folder; it is replaced after a failed test."""
    reused.renew()
    failed = request.session.testsfailed
    yield reused
    if request.session.testsfailed > failed:
        reused.restart()


def kept(result: Result) -> Any:
    """The outputs without metadata and ids, and without the cell's number, which must be that of the cell."""
    number = result.reply.get("execution_count")
    assert all(output.get("execution_count", number) == number for output in result.final)
    particular = ("metadata", "execution_count")
    return without_ids(
        [{key: output[key] for key in output if key not in particular} for output in result.final]
    )


def test_the_same_outputs_as_on_a_local_runtime(remote: Notebook, fresh: Notebook) -> None:
    for notebook in (remote, fresh):
        (notebook.folder / "people.csv").write_text("name,age\nAda,36\nBob,41\n")
    for number, cell in enumerate(CELLS):
        cell_id = f"cell-{number}" if number % 2 else None  # live and in batch
        assert kept(remote.run(cell, cell_id=cell_id)) == kept(fresh.run(cell, cell_id=cell_id))


def test_an_interrupt_stops_the_command_on_the_server(remote: Notebook) -> None:
    remote.run("remember")
    sent = remote.send("wait for ever", cell_id="c")
    first = remote.collect(sent, until=lambda message: "begun\\n" in json.dumps(message["content"]))
    remote.interrupt()
    result = Result({}, first.messages + remote.collect(sent).messages)
    assert any("begun" in text for text in result.plain)
    assert remote.run("what was it").plain[-1] == "It was blue."
    assert remote.run("!pgrep -c sleep").plain[-1].startswith("0")


def test_python_cells_and_their_session_over_http(remote: Notebook) -> None:
    result = remote.run("%%python\nprint('out')\ntotal = 40\ntotal + 2", cell_id="c")
    assert result.kinds == ["stream", "execute_result"]
    assert remote.reply(remote.client.complete("%%python\ntot"))["matches"] == ["total"]
    assert "total  int" in remote.run("%vars").plain[0]
    live = remote.send("%%python\nprint('begun')\nimport time\ntime.sleep(600)", cell_id="c")
    remote.collect(live, until=lambda message: message["content"].get("text") == "begun\n")
    remote.interrupt()
    assert remote.collect(live).reply["ename"] == "KeyboardInterrupt"
    assert remote.run("%%python\ntotal").plain == ["40"]
    assert remote.run("%python restart").reply["status"] == "ok"
    assert remote.run("%%python\ntotal").reply["ename"] == "NameError"


def test_shutdown_removes_the_container_on_the_server(
    server: str, start: Start, sandboxes: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_KERNEL_RUNTIME_URL", server)
    monkeypatch.setenv("AGENT_KERNEL_API_KEY", KEY)
    remote = start()
    before = set(sandboxes())
    remote.run("remember")
    assert len(set(sandboxes()) - before) == 1
    remote.manager.shutdown_kernel()
    assert set(sandboxes()) <= before


def test_a_wrong_key_is_told(server: str, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_KERNEL_RUNTIME_URL", server)
    monkeypatch.setenv("AGENT_KERNEL_API_KEY", "wrong")
    result = start().run("say hello")
    assert result.kinds == ["error"]
    assert "key" in result.error
    assert "wrong" not in result.error.replace("wrong key", "")


def test_boundary_sizes_survive_a_trip_over_http(remote: Notebook) -> None:
    round_trip(remote, SIZES)
