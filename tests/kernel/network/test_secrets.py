"""Secrets of a notebook's container: kept by `%network allow`, and in no file that is saved."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.models.catalogue import Models
from agent_kernel.runtime.containers.containers import ContainerOptions
from agent_kernel.runtime.network.egress import NetworkOptions
from agent_kernel.sandboxes.toolbox import Toolbox
from tests.egress.tls.outside import NAME, OTHER, VALUE, HttpsServer
from tests.server.containers.test_network import loopback
from tests.server.containers.test_secrets import https
from tests.server.keyed import Keyed, keyed_server
from tests.server.test_secrets import kept

__all__ = ["https"]

pytestmark = pytest.mark.bubblewrap

SCRIPT = Path(__file__).with_name("script.yaml")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, toolbox: Toolbox, https: HttpsServer) -> Iterator[Keyed]:
    """A server whose containers may reach two hosts, and whose model calls one of them."""
    folder = tmp_path_factory.mktemp("data")
    script = folder / "script.yaml"
    script.write_text(SCRIPT.read_text().replace("PORT", str(https.port)))
    settings = ContainerOptions(
        network=NetworkPolicy.parse([f"tcp://{name}:{https.port}" for name in (NAME, OTHER)]),
        network_options=NetworkOptions(resolver=loopback, trust=https.trust),
    )
    models = Models(upstream_url=None, upstream_key=None, default=f"scripted/{script}")
    with keyed_server(folder, toolbox, {}, settings=settings, models=models) as server:
        yield server


class Saved:
    """A notebook that runs cell by cell, and the file that it is saved to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._notebook = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
        self._client = NotebookClient(self._notebook, timeout=60, kernel_name="agent-demo")

    @contextmanager
    def running(self) -> Iterator[None]:
        with self._client.setup_kernel(cwd=str(self.path.parent)):
            yield

    def run(self, source: str) -> list[str]:
        """Run a new cell, save the notebook, and return what the cell shows as plain text."""
        cell = nbformat.v4.new_code_cell(source)  # type: ignore[no-untyped-call]
        self._notebook.cells.append(cell)
        self._client.execute_cell(cell, len(self._notebook.cells) - 1)
        nbformat.write(self._notebook, self.path)  # type: ignore[no-untyped-call]
        return [output.data["text/plain"] for output in cell.outputs if "data" in output]


@pytest.fixture
def saved(server: Keyed, jupyter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Saved]:
    monkeypatch.setenv("AGENT_KERNEL_RUNTIME_URL", server.url)
    monkeypatch.setenv("AGENT_KERNEL_API_KEY", server.secrets[""])
    notebook = Saved(tmp_path / "notebook.ipynb")
    with notebook.running():
        yield notebook


def give_secret(server: Keyed, https: HttpsServer) -> None:
    """Give the notebook's container a secret, as its user does from a terminal."""
    policy: dict[str, Any] = {"type": "allowlist", "allowed_domains": [f"{NAME}:{https.port}"]}
    policy["domain_secrets"] = [{"domain": NAME, "name": "TOKEN", "value": VALUE}]
    (container,) = server.ask("", "GET", "/v1/containers").json()["data"]
    path = f"/v1/containers/{container['id']}/agent_kernel/network"
    assert server.ask("", "POST", path, json=policy).status_code == 200


def test_secret_is_used_and_never_saved(
    server: Keyed,
    https: HttpsServer,
    saved: Saved,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    host, more = (f"tcp://{name}:{https.port}" for name in (NAME, OTHER))
    assert saved.run(f"%network allow {host}") == [f"Allowed: `{host}`."]
    give_secret(server, https)
    secrets = f"Secrets: `TOKEN` for `{NAME}`."
    assert saved.run(f"%network allow {more}") == [f"Allowed: `{host}`, `{more}`. {secrets}"]
    assert saved.run("Please call the service.")[-2].startswith("The service has **Bearer secret_")
    assert https.got[-1].headers[b"authorization"] == f"Bearer {VALUE}".encode()
    assert secrets in saved.run("%network")[0]
    lost = f"The secrets of the earlier container are not in the new one: `TOKEN` for `{NAME}`."
    assert saved.run(f"%network allow {more} --new") == [f"Allowed: `{host}`, `{more}`.", lost]
    written = saved.path.read_text()
    assert written.count("Bearer secret_") >= 2
    for text in (written, kept(server), caplog.text, *capfd.readouterr()):
        assert VALUE not in text
