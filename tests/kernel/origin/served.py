"""A real Jupyter server, and notebooks whose kernels it starts and restarts."""

from __future__ import annotations

import json
import os
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient

from tests.kernel.client import TIMEOUT, Notebook
from tests.kernel.jupyter_server import ON_LOOPBACK, running_server

ADDRESS = r"http://127\.0\.0\.1:(?P<port>\d+)/|is listening on http\+unix://(?P<socket>[^/]+)/"


@dataclass(frozen=True)
class JupyterServer:
    """A running server. `root` has its notebooks, `file` describes it to kernels."""

    url: str
    token: str
    root: Path
    file: Path

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Send a request as a front end does; return the JSON of the answer."""
        request = urllib.request.Request(
            f"{self.url}/api/{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"token {self.token}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def rename(self, session: str, old: str, new: str) -> None:
        """Rename a notebook as JupyterLab does: its file, then its session."""
        (self.root / new).parent.mkdir(exist_ok=True)
        self.call("PATCH", f"contents/{urllib.parse.quote(old)}", {"path": new})
        self.call("PATCH", f"sessions/{session}", {"path": new, "name": Path(new).name})


@contextmanager
def jupyter_server(root: Path, folder: Path, *options: str) -> Iterator[JupyterServer]:
    """Run a Jupyter server with the notebooks in `root`; `folder` takes its runtime files.

    `options` say where it listens, if not on a port.
    """
    runtime = folder / "runtime"
    command = [
        *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"),
        *(f"--ServerApp.root_dir={root}", *(options or ON_LOOPBACK)),
    ]
    environment = os.environ | {
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
    }
    with running_server(command, environment, ADDRESS) as (server, _):
        file = runtime / f"jpserver-{server.process.pid}.json"
        info = json.loads(file.read_bytes())
        yield JupyterServer(f"http://127.0.0.1:{info['port']}", info["token"], root, file)


class ServedNotebook(Notebook):
    """A notebook with a kernel of the server."""

    def __init__(self, server: JupyterServer, path: str) -> None:
        self.server = server
        kernel = {"name": "agent"}
        session = {"path": path, "name": Path(path).name, "type": "notebook", "kernel": kernel}
        made = server.call("POST", "sessions", session)
        self.session_id, self.kernel_id = str(made["id"]), str(made["kernel"]["id"])
        self.connection_file = server.file.with_name(f"kernel-{self.kernel_id}.json")
        self.closed = False
        self._ids: set[str] = set()
        self._connect()

    def _connect(self) -> None:
        self.client = BlockingKernelClient(connection_file=str(self.connection_file))
        self.client.load_connection_file()
        self.client.start_channels(hb=False)  # it would call a kernel dead that starts slowly
        self.client.wait_for_ready(timeout=TIMEOUT)

    def restart(self) -> None:
        """Restart the kernel through the server."""
        self.client.stop_channels()
        self.server.call("POST", f"kernels/{self.kernel_id}/restart")
        self._connect()

    def close(self) -> None:
        """End the session and its kernel. Idempotent."""
        if self.closed:
            return
        self.closed = True
        self.client.stop_channels()
        self.server.call("DELETE", f"sessions/{self.session_id}")
