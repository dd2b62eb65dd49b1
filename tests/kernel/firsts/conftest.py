"""Servers that programs reach by name, and a runtime on each backend that a notebook and a client use."""

from __future__ import annotations

import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.egress.names import Address
from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.keys import KeyLimits
from agent_kernel.models.catalogue import Models
from agent_kernel.runtime.containers.containers import ContainerOptions
from agent_kernel.runtime.network.egress import NetworkOptions
from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.toolbox import Toolbox
from tests.conftest import configured_docker
from tests.egress.clients.web import WebServer, serving
from tests.kernel.client import Notebook
from tests.kernel.firsts.sites import HOSTS, PACKAGES, make_index, make_sites, needed
from tests.kernel.running import running
from tests.server.keyed import Keyed, keyed_server

INDEX = "http://packages.internal:PORT/simple"
SCRIPT = Path(__file__).with_name("firsts.yaml")
PERSON = "ada"


async def loopback(name: str) -> list[Address]:
    """Every name that is allowed leads to the servers of the tests."""
    return [ip_address("127.0.0.1")]


@pytest.fixture(scope="session")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """A package index, a server of repositories, data and a Debian repository, by the name of the host."""
    folder = tmp_path_factory.mktemp("sites")
    make_sites(folder, Path(sysconfig.get_path("purelib")))
    with serving(folder, None) as server:
        yield server


@pytest.fixture(scope="session")
def scipy(web: WebServer, toolbox: Toolbox) -> None:
    """Add scipy to the package index, as the toolbox has it: it takes seconds to pack."""
    packages = next((toolbox.path / "venv" / "lib").glob("python*/site-packages"))
    make_index(web.folder / PACKAGES, needed("scipy", packages))


@contextmanager
def runtime(
    folder: Path, toolbox: Toolbox, web: WebServer, make_backend: Callable[[], Backend] | None = None
) -> Iterator[Keyed]:
    """A server whose containers may reach these hosts, and whose model plays the script."""
    script = folder / "firsts.yaml"
    script.write_text(SCRIPT.read_text().replace("INDEX", INDEX).replace("PORT", str(web.port)))
    options = ContainerOptions(
        network=NetworkPolicy.parse([f"tcp://{host}:{web.port}" for host in HOSTS]),
        network_options=NetworkOptions(resolver=loopback),
    )
    models = Models(upstream_url=None, upstream_key=None, default=f"scripted/{script}")
    with keyed_server(
        folder, toolbox, {PERSON: KeyLimits()}, models=models, settings=options, make_backend=make_backend
    ) as server:
        yield server


@pytest.fixture(scope="module")
def on_bubblewrap(
    tmp_path_factory: pytest.TempPathFactory, toolbox: Toolbox, web: WebServer
) -> Iterator[Keyed]:
    with runtime(tmp_path_factory.mktemp("bubblewrap"), toolbox, web) as server:
        yield server


@pytest.fixture(scope="module")
def on_docker(
    tmp_path_factory: pytest.TempPathFactory, toolbox: Toolbox, web: WebServer, docker_engine: None
) -> Iterator[Keyed]:
    with runtime(tmp_path_factory.mktemp("docker"), toolbox, web, configured_docker) as server:
        yield server


@contextmanager
def notebook_on(server: Keyed, jupyter_path: Path, folder: Path) -> Iterator[Notebook]:
    """A real kernel that uses this server."""
    settings = {"AGENT_KERNEL_RUNTIME_URL": server.url, "AGENT_KERNEL_API_KEY": server.secrets[PERSON]}
    with running(jupyter_path, folder, "agent-demo", **settings) as notebook:
        yield notebook


@pytest.fixture(scope="module")
def notebook_bubblewrap(
    on_bubblewrap: Keyed, jupyter_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Notebook]:
    with notebook_on(on_bubblewrap, jupyter_path, tmp_path_factory.mktemp("notebook")) as notebook:
        yield notebook


@pytest.fixture
def notebook_docker(on_docker: Keyed, jupyter_path: Path, tmp_path: Path) -> Iterator[Notebook]:
    with notebook_on(on_docker, jupyter_path, tmp_path) as notebook:
        yield notebook


def allow(notebook: Notebook, web: WebServer, *hosts: str) -> None:
    """Allow hosts for a notebook's container."""
    allowed = notebook.run(f"%network allow {' '.join(f'{host}:{web.port}' for host in hosts)}")
    assert allowed.reply["status"] == "ok", allowed.error


def shell(web: WebServer, *hosts: str, **more: Any) -> Any:
    """The tool as older texts spell it, with a network."""
    policy = {"type": "allowlist", "allowed_domains": [f"{host}:{web.port}" for host in hosts]}
    return [{"type": "shell", "container": {"type": "auto", "network_policy": policy, **more}}]
