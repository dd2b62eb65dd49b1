"""The kernel on a runtime elsewhere: a real `agent-kernel serve` in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.client import Notebook, Result
from tests.kernel.transfer.test_sizes import SIZES, round_trip

pytestmark = pytest.mark.bubblewrap

SCRIPT = Path(__file__).parent / "script.yaml"
KEY = "key-of-the-tests"
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


@pytest.fixture
def server(jupyter: Path, kernel_data: Path, tmp_path: Path) -> Iterator[str]:
    environment = os.environ | {
        "AGENT_KERNEL_DATA_DIR": str(kernel_data),
        "AGENT_KERNEL_SANDBOX": "bubblewrap",
        "AGENT_KERNEL_MODEL": f"scripted/{SCRIPT}",
        "AGENT_KERNEL_API_KEY": KEY,
        "JUPYTER_CONFIG_DIR": str(tmp_path / "no-config"),
        "PYTHONPATH": str(SCRIPT.parents[2]),
    }
    command = [sys.executable, "-m", "agent_kernel", "serve", "--port", "0"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        found = re.search(r"http://127\.0\.0\.1:\d+\S*", process.stdout.readline())
        assert found
        yield found[0].rstrip("/").removesuffix("/v1") + "/v1"
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


@pytest.fixture
def remote(server: str, start: Start, monkeypatch: pytest.MonkeyPatch) -> Notebook:
    monkeypatch.setenv("AGENT_KERNEL_RUNTIME_URL", server)
    monkeypatch.setenv("AGENT_KERNEL_API_KEY", KEY)
    notebook = start()
    monkeypatch.delenv("AGENT_KERNEL_RUNTIME_URL")
    return notebook


def kept(result: Result) -> list[dict[str, Any]]:
    return [{key: value for key, value in output.items() if key != "metadata"} for output in result.final]


def test_the_same_outputs_as_on_a_local_runtime(remote: Notebook, start: Start, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("name,age\nAda,36\nBob,41\n")
    local = start()
    for number, cell in enumerate(CELLS):
        cell_id = f"cell-{number}" if number % 2 else None  # live and in batch
        assert kept(remote.run(cell, cell_id=cell_id)) == kept(local.run(cell, cell_id=cell_id))


def test_an_interrupt_stops_the_command_on_the_server(remote: Notebook) -> None:
    remote.run("remember")
    sent = remote.send("wait for ever", cell_id="c")
    first = remote.collect(sent, until=lambda message: "begun\\n" in json.dumps(message["content"]))
    remote.interrupt()
    result = Result({}, first.messages + remote.collect(sent).messages)
    assert any("begun" in text for text in result.plain)
    assert remote.run("what was it").plain[-1] == "It was blue."
    assert remote.run("!pgrep -c sleep").plain[-1].startswith("0")


def test_shutdown_removes_the_container_on_the_server(
    remote: Notebook, sandboxes: Callable[[], list[str]]
) -> None:
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
