"""Real kernels for these tests: the shipped kernelspec's command, bubblewrap, and the scripted model."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from agent_kernel.sandboxes.toolbox import Toolbox

HERE = Path(__file__).parent
SPEC = HERE.parents[1] / "agent_kernel" / "kernel" / "spec"
SCRIPT = HERE / "script.yaml"
TIMEOUT = 60.0


@dataclass
class Result:
    """What one cell gave: its reply and what it sent on iopub, without status and input."""

    reply: dict[str, Any]
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def kinds(self) -> list[str]:
        return [message["msg_type"] for message in self.messages]

    @property
    def final(self) -> list[dict[str, Any]]:
        """The outputs that a notebook keeps."""
        kept: list[dict[str, Any]] = []
        for message in self.messages:
            if message["msg_type"] == "clear_output":
                kept = []
            elif message["msg_type"] in ("display_data", "error", "stream", "execute_result"):
                kept.append(message["content"])
        return kept

    @property
    def plain(self) -> list[str]:
        return [output["data"]["text/plain"] for output in self.final if "data" in output]

    @property
    def error(self) -> str:
        return f"{self.reply['ename']}: {self.reply['evalue']}"


class Notebook:
    """A kernel and a client that runs cells in it."""

    def __init__(self, manager: KernelManager) -> None:
        self.manager = manager
        self.client: BlockingKernelClient = manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=TIMEOUT)

    def send(self, code: str, *, cell_id: str | None = None, allow_stdin: bool = False) -> str:
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": allow_stdin,
            "stop_on_error": True,
        }
        metadata = {"cellId": cell_id} if cell_id else {}
        message = self.client.session.msg("execute_request", content, metadata=metadata)
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def message(self, timeout: float = TIMEOUT) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get_iopub_msg(timeout=timeout)
        return found

    def collect(self, sent: str, until: Callable[[dict[str, Any]], bool] | None = None) -> Result:
        """Everything that belongs to a request up to its idle status, or up to `until`."""
        result = Result({})
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            message = self.message()
            if message["parent_header"].get("msg_id") != sent:
                continue
            kind = message["msg_type"]
            if kind == "status" and message["content"]["execution_state"] == "idle":
                result.reply = self.reply(sent)
                return result
            if kind not in ("status", "execute_input"):
                result.messages.append(message)
            if until and until(message):
                return result
        raise AssertionError("the cell did not end")

    def reply(self, sent: str) -> dict[str, Any]:
        while True:
            reply = self.client.get_shell_msg(timeout=TIMEOUT)
            if reply["parent_header"].get("msg_id") == sent:
                content: dict[str, Any] = reply["content"]
                return content

    def run(self, code: str, *, cell_id: str | None = None) -> Result:
        return self.collect(self.send(code, cell_id=cell_id))

    def drain(self) -> None:
        try:
            while True:
                self.client.get_iopub_msg(timeout=0.2)
        except Empty:
            return

    def close(self) -> None:
        self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel()
        self.manager.cleanup_resources()


@pytest.fixture(scope="session")
def kernel_data(tmp_path_factory: pytest.TempPathFactory, toolbox: Toolbox) -> Path:
    """A data folder of these tests' own, with the shared toolbox."""
    data = tmp_path_factory.mktemp("data")
    (data / "toolbox").symlink_to(toolbox.path.parent)
    return data


@pytest.fixture(scope="session")
def jupyter_path(tmp_path_factory: pytest.TempPathFactory, kernel_data: Path) -> Path:
    """A folder with kernelspecs: `agent` plays the tests' script, `agent-demo` has nothing configured."""
    root = tmp_path_factory.mktemp("jupyter")
    environment = {
        "AGENT_KERNEL_DATA_DIR": str(kernel_data),
        "AGENT_KERNEL_SANDBOX": "bubblewrap",
        "JUPYTER_CONFIG_DIR": str(root / "config"),
        "PYTHONPATH": str(HERE.parents[1]),
    }
    for name, more in (("agent", {"AGENT_KERNEL_MODEL": f"scripted/{SCRIPT}"}), ("agent-demo", {})):
        folder = root / "kernels" / name
        folder.mkdir(parents=True)
        spec = json.loads((SPEC / "kernel.json").read_text())
        spec["argv"][0] = sys.executable
        spec["env"] = environment | more
        (folder / "kernel.json").write_text(json.dumps(spec))
    return root


@pytest.fixture
def jupyter(jupyter_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make Jupyter find those kernelspecs, and no setting of the person who runs the tests."""
    monkeypatch.setenv("JUPYTER_PATH", str(jupyter_path))
    for name in ("MODEL", "UPSTREAM_URL", "UPSTREAM_KEY", "RUNTIME_URL"):
        monkeypatch.delenv(f"AGENT_KERNEL_{name}", raising=False)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return jupyter_path


@pytest.fixture
def start(jupyter: Path, tmp_path: Path) -> Iterator[Callable[..., Notebook]]:
    """Start kernels in the test's folder; they are shut down after the test."""
    started: list[Notebook] = []

    def begin(name: str = "agent") -> Notebook:
        manager = KernelManager(kernel_name=name)
        manager.start_kernel(cwd=str(tmp_path))
        started.append(Notebook(manager))
        return started[-1]

    yield begin
    for notebook in started:
        notebook.close()


@pytest.fixture
def notebook(start: Callable[..., Notebook]) -> Notebook:
    return start()


@pytest.fixture
def sandboxes(kernel_data: Path) -> Callable[[], list[str]]:
    """Names of the sandboxes that exist at this moment."""
    return lambda: [path.name for path in (kernel_data / "sandboxes").glob("*")]
