"""Fixtures for the real sandboxes, the rule for missing components, and the choice of slow tests.

A missing component skips its tests with a message that says how to install it. Where all components are
required (CI=true or AGENT_KERNEL_REQUIRE_ALL=1) it fails them instead. The one exception is a package index,
which a machine may lack: see `pips_index`. No other test calls `pytest.skip`.
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import pytest

from agent_kernel.errors import PreparationFailed
from agent_kernel.sandboxes.base import Backend, Probe
from agent_kernel.sandboxes.bubblewrap import start as bubblewrap_start
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.bubblewrap.compiled import compiled
from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.sandboxes.docker.image import DEFAULT_IMAGE
from agent_kernel.sandboxes.toolbox import Toolbox
from tests import trust
from tests.shares import shared_out
from tests.wheels import install

Missing = Callable[[str], NoReturn]
CHECKOUT = Path(__file__).parents[1]
SANDBOXES = CHECKOUT / "tests" / "sandboxes"


def _missing(why: str) -> NoReturn:
    if os.environ.get("CI") == "true" or os.environ.get("AGENT_KERNEL_REQUIRE_ALL") == "1":
        pytest.fail(f"required here: {why}", pytrace=False)
    pytest.skip(why)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark cases as slow that repeat others on one more backend.

    The layers above the sandbox see only a byte stream. So gVisor's cases are slow outside the sandbox
    contract, and so are Docker's if the same case runs in bubblewrap, unless the test is marked `on_docker`.
    Where a runtime is remote, Docker's cases are slow in any case. Inside the sandbox contract gVisor's cases
    are slow that are marked `slow_on_gvisor`. The mark `shown_on` names the parameters with which a single
    test runs in any case.

    """
    ids = {item.nodeid for item in items}
    for item in items:
        call = getattr(item, "callspec", None)
        chosen = {value for value in call.params.values() if isinstance(value, str)} if call else set()
        above = SANDBOXES not in item.path.parents
        on_gvisor = "docker-runsc" in chosen and (above or item.get_closest_marker("slow_on_gvisor"))
        wanted = item.get_closest_marker("on_docker") and "remote" not in chosen
        again = above and "docker" in chosen and not wanted
        shown = item.get_closest_marker("shown_on")
        repeats = shown and call and not {*shown.args} <= {str(value) for value in call.params.values()}
        if on_gvisor or repeats or (again and item.nodeid.replace("docker", "bubblewrap") in ids):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(specname="pytest_collection_modifyitems", trylast=True)
def pytest_share_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put first in each worker's part what one worker should run, once it is known what runs at all."""
    items[:] = shared_out(items, int(getattr(config, "workerinput", {}).get("workercount", 1)))


def pytest_configure() -> None:
    """Let all HTTP clients of the tests share their trusted certificates."""
    trust.share()


def pytest_collection() -> None:
    """Collect no garbage while modules are imported and tests collected: nearly all of that stays."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Keep the garbage collector from walking over the thousands of collected tests again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)
    gc.enable()


@pytest.fixture(scope="session")
def missing() -> Missing:
    """Return a function that skips the test, or fails it where all components are required.

    Its argument says what is missing and how to get it.
    """
    return _missing


@pytest.fixture(scope="session")
def pips_index(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the name of a small pure package that this machine's pip gets from its index.

    Files of this machine do not count. Skips the test if pip reaches no index.
    """
    package = "iniconfig"
    words = ["download", "-q", "--no-deps", "--no-cache-dir", "--dest", str(tmp_path_factory.mktemp("pip"))]
    alone = {"PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": "", "PIP_RETRIES": "0", "PIP_DEFAULT_TIMEOUT": "20"}
    command = [sys.executable, "-m", "pip", *words, package]
    done = subprocess.run(command, env={**os.environ, **alone}, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        pytest.skip(f"this machine's pip reaches no index: {last[:200]}")
    return package


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder for what takes long to prepare (the toolbox). Tests write elsewhere."""
    from agent_kernel.config import RuntimeSettings

    if chosen := os.environ.get("AGENT_KERNEL_TEST_DATA_DIR"):
        return Path(chosen)
    return RuntimeSettings().data_path()


@pytest.fixture(scope="session")
def toolbox(data_dir: Path) -> Iterator[Toolbox]:
    """Prepare the toolbox of bubblewrap sandboxes if it is not ready. Concurrent runs take turns.

    Backends of this process take boxd from the same data folder, because each test would compile it anew.
    """
    toolbox = Toolbox(data_dir)
    try:
        toolbox.prepare()
    except PreparationFailed as error:
        _missing(str(error))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bubblewrap_start, "compiled", lambda _: compiled(data_dir / "boxd"))
        yield toolbox


def share_programs(data: Path, toolbox: Toolbox) -> None:
    """Give a data folder the shared toolbox, and boxd as it was compiled for other tests."""
    shared = toolbox.path.parent
    boxd = shared.with_name("boxd")
    boxd.mkdir(exist_ok=True, mode=0o700)
    (data / "toolbox").symlink_to(shared)
    (data / "boxd").symlink_to(boxd)


def environment_in(folder: Path, toolbox: Toolbox) -> dict[str, str]:
    """Return an environment for commands without this machine's settings and keys.

    Its data folder and Jupyter's folders lie below `folder`; no kernel is installed there yet. The toolbox
    is the shared one.
    """
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("AGENT_KERNEL_", "OPENAI_", "JUPYTER_"))}
    data = folder / "agent-kernel"
    data.mkdir()
    share_programs(data, toolbox)
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(CHECKOUT), kept.get("PYTHONPATH")])),
        "AGENT_KERNEL_DATA_DIR": str(data),
        "JUPYTER_PATH": str(folder / "share" / "jupyter"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
    }


@pytest.fixture
def own_environment(tmp_path: Path, toolbox: Toolbox) -> dict[str, str]:
    """Return an environment for commands, with folders that only this test has."""
    return environment_in(tmp_path, toolbox)


def configured_docker(runtime: str | None = None) -> DockerBackend:
    """Return a Docker backend with the environment's configuration."""
    image = os.environ.get("AGENT_KERNEL_IMAGE") or DEFAULT_IMAGE
    return DockerBackend(image, runtime or os.environ.get("AGENT_KERNEL_DOCKER_RUNTIME") or None)


async def _look(backend: Backend) -> Probe:
    try:
        return await backend.probe()
    finally:
        await backend.aclose()


@pytest.fixture(scope="session")
def docker_engine() -> None:
    """Require a Docker Engine with the toolbox image."""
    with ThreadPoolExecutor(1) as thread:  # a browser may have an event loop in this one
        probe = thread.submit(lambda: asyncio.run(_look(configured_docker()))).result()
    if not probe.ok:
        _missing(f"{probe.detail} {probe.hint or ''}")


@pytest.fixture
async def docker_backend(docker_engine: None) -> AsyncIterator[DockerBackend]:
    """Yield a Docker backend with the environment's configuration; tests delete their own sandboxes."""
    backend = configured_docker()
    yield backend
    await backend.aclose()


@pytest.fixture(scope="session")
def runsc(docker_engine: None) -> None:
    """Require a Docker Engine with gVisor's runtime."""
    probe = asyncio.run(_look(configured_docker("runsc")))
    if not probe.ok:
        _missing(f"{probe.detail} {probe.hint or ''}")


@pytest.fixture
async def docker_runsc_backend(runsc: None) -> AsyncIterator[DockerBackend]:
    """Yield a Docker backend whose containers run on gVisor; tests delete their own sandboxes."""
    backend = configured_docker("runsc")
    yield backend
    await backend.aclose()


@pytest.fixture
async def bubblewrap_backend(tmp_path: Path, toolbox: Toolbox) -> AsyncIterator[BubblewrapBackend]:
    """Yield a bubblewrap backend in `tmp_path`; tests delete their own sandboxes.

    These are forks of a prepared parent, as most are in a server.
    """
    backend = BubblewrapBackend(tmp_path, toolbox, eager=True)
    probe = await backend.probe()
    if not probe.ok:
        _missing(f"{probe.detail} {probe.hint or ''}")
    yield backend
    await backend.aclose()


RUNC = pytest.param("docker", marks=pytest.mark.docker)
GVISOR = pytest.param("docker-runsc", marks=pytest.mark.docker)
BUBBLEWRAP = pytest.param("bubblewrap", marks=pytest.mark.bubblewrap)
without_gvisor = pytest.mark.parametrize("backend", [RUNC, BUBBLEWRAP], indirect=True)
"""Marks tests that use `backend`, and would take too long on gVisor as well."""


@pytest.fixture(params=[RUNC, GVISOR, BUBBLEWRAP])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Return each backend in turn."""
    found: Backend = request.getfixturevalue(f"{request.param.replace('-', '_')}_backend")
    return found


@pytest.fixture(scope="session")
def toy_backend_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the toy backend installed from its wheel, as any package that adds a backend."""
    return install(SANDBOXES / "toy_backend", tmp_path_factory.mktemp("toy-backend"))


@pytest.fixture
def toy_backend(toy_backend_wheel: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the toy backend known to this process and its children, and return its folder."""
    monkeypatch.syspath_prepend(toy_backend_wheel)
    found = os.pathsep.join(filter(None, [str(toy_backend_wheel), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", found)
    return toy_backend_wheel
