"""A real JupyterHub on free ports of loopback, with the shipped configuration, and its users."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from websockets.sync.client import connect

from tests.clients.cache import folder_for, installed
from tests.clients.node import PACKAGES, install
from tests.conftest import CHECKOUT
from tests.environments import run
from tests.logging_server import LoggingServer, free_port, logging_server

HERE = Path(__file__).parent
LOCK = HERE / "requirements.txt"
SHIPPED = CHECKOUT / "images" / "jupyterhub" / "jupyterhub_config.py"
RUNS = "JupyterHub is now running"


def packages() -> Path:
    """Return the folder with JupyterHub, installed once for each lock. Raises `EnvironmentMissing`."""
    folder = folder_for("jupyterhub", LOCK)
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    installed(folder, lambda: run(*command, "--target", str(folder), "-r", str(LOCK)))
    return folder


@dataclass
class User:
    """A user of the hub, with a server of their own."""

    name: str
    hub: Hub
    token: str = ""
    http: httpx2.Client = field(init=False)

    def __post_init__(self) -> None:
        """Log in by the hub's page, and take a token for its API."""
        given = {"username": self.name, "password": "any"}
        with httpx2.Client(base_url=self.hub.url, timeout=60) as browser:
            browser.get("/hub/login").raise_for_status()
            logged_in = browser.post("/hub/login", data={**given, "_xsrf": browser.cookies["_xsrf"]})
            assert logged_in.is_redirect, logged_in.text
        self.http = httpx2.Client(base_url=self.hub.url, timeout=60)
        made = self.http.post(f"/hub/api/users/{self.name}/tokens", json={"auth": given})
        self.token = made.raise_for_status().json()["token"]
        self.http.headers["Authorization"] = f"token {self.token}"

    def close(self) -> None:
        """Close the connections to the hub; the user's server goes on."""
        self.http.close()

    def start(self) -> None:
        """Start the user's server, and wait until it is there."""
        self.http.post(f"/hub/api/users/{self.name}/server").raise_for_status()
        with self.http.stream("GET", f"/hub/api/users/{self.name}/server/progress") as progress:
            events = [json.loads(line[6:]) for line in progress.iter_lines() if line.startswith("data: ")]
        assert events[-1].get("ready"), events

    def stop(self) -> None:
        """Stop the user's server."""
        self.http.delete(f"/hub/api/users/{self.name}/server").raise_for_status()

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the user's server."""
        return dict(json.loads((self.hub.folder / f"{self.name}.json").read_text()))

    def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        """Ask the agent's server with the user's key."""
        there = self.environment
        headers = {"Authorization": f"Bearer {there['AGENT_KERNEL_API_KEY']}"}
        return httpx2.request(
            method, there["AGENT_KERNEL_RUNTIME_URL"] + path, headers=headers, timeout=60, **more
        )

    def cell(self, text: str) -> str:
        """Run a cell in a new kernel of the user's server; return all that it showed, as JSON."""
        there = f"/user/{self.name}/api/kernels"
        kernel = self.http.post(there, json={"name": "agent"}).raise_for_status().json()["id"]
        url = f"{self.hub.url.replace('http', 'ws', 1)}{there}/{kernel}/channels"
        with connect(url, additional_headers=[("Authorization", f"token {self.token}")]) as socket:
            asked = {
                "msg_id": uuid.uuid4().hex,
                "msg_type": "execute_request",
                "session": "s",
                "username": "",
            }
            content = {"code": text, "silent": False, "store_history": True, "allow_stdin": False}
            message = {"header": asked, "parent_header": {}, "metadata": {}, "channel": "shell"}
            socket.send(json.dumps({**message, "content": content}))
            return json.dumps(_outputs(socket, asked["msg_id"]))


def _outputs(socket: Any, asked: str) -> list[Any]:
    shown = []
    while True:
        message = json.loads(socket.recv(60))
        if message["parent_header"].get("msg_id") == asked and message["channel"] == "iopub":
            shown.append(message["content"])
            if message["content"].get("execution_state") == "idle":
                return shown


@dataclass(frozen=True)
class Hub:
    """A hub that runs."""

    url: str
    folder: Path
    log: list[str]


@contextmanager
def running_hub(folder: Path, environment: Mapping[str, str]) -> Iterator[Hub]:
    """Start a hub; at the end it is stopped with its service and its users' servers."""
    node, there = install(), packages()
    proxy = [str(node), str(PACKAGES / "node_modules/configurable-http-proxy/bin/configurable-http-proxy")]
    paths = (environment.get("PYTHONPATH", ""), str(there))

    def start(port: int) -> subprocess.Popen[str]:
        more = {
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "HUB_AGENT_PORT": str(free_port()),
            "HUB_TEST_PORTS": json.dumps({"proxy": port, "hub": free_port(), "routes": free_port()}),
            "HUB_TEST_FOLDER": str(folder),
            "HUB_TEST_SHIPPED": str(SHIPPED),
            "HUB_TEST_PROXY": json.dumps(proxy),
        }
        return subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", str(HERE / "hub_config.py")],
            cwd=folder, env={**environment, **more}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def runs(server: LoggingServer, _: object) -> bool:
        while not any(RUNS in line for line in server.log):
            if server.process.poll() is not None:
                return False
            time.sleep(0.05)  # its log is read by another thread
        return True

    with logging_server(start, "Serving http", answers=runs) as server:
        yield Hub(f"http://127.0.0.1:{server.port}", folder, server.log)
