"""Fixtures for the real sandboxes, and the one rule for a machine that lacks a part.

A missing part skips its tests with the words that hint it. Where everything is required (CI=true or
AGENT_KERNEL_REQUIRE_ALL=1) it fails them instead.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NoReturn

import pytest

from agent_kernel.errors import PreparationFailed
from agent_kernel.sandboxes.base import Backend, Probe
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.sandboxes.docker.image import DEFAULT_IMAGE
from agent_kernel.sandboxes.toolbox import Toolbox

Missing = Callable[[str], NoReturn]
CHECKOUT = Path(__file__).parents[1]


def _missing(why: str) -> NoReturn:
    if os.environ.get("CI") == "true" or os.environ.get("AGENT_KERNEL_REQUIRE_ALL") == "1":
        pytest.fail(f"required here: {why}", pytrace=False)
    pytest.skip(why)


@pytest.fixture(scope="session")
def missing() -> Missing:
    """Call it with what is missing and what mends that: skips, or fails where everything is required."""
    return _missing


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Shared by all tests for what is costly to prepare (the toolbox); tests write elsewhere."""
    from agent_kernel.config import RuntimeSettings

    if chosen := os.environ.get("AGENT_KERNEL_TEST_DATA_DIR"):
        return Path(chosen)
    return RuntimeSettings().data_path()


@pytest.fixture(scope="session")
def toolbox(data_dir: Path) -> Toolbox:
    """The toolbox of bubblewrap sandboxes, prepared if it was not."""
    toolbox = Toolbox(data_dir)
    try:
        toolbox.prepare()
    except PreparationFailed as error:
        _missing(str(error))
    return toolbox


@pytest.fixture
def own_environment(tmp_path: Path, toolbox: Toolbox) -> dict[str, str]:
    """An environment for child processes: no setting and no key of this machine's, folders of the test's own.

    The toolbox is the shared one. Jupyter's folders lie below the test's as well, and know no kernel yet.
    """
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("AGENT_KERNEL_", "OPENAI_", "JUPYTER_"))}
    data = tmp_path / "agent-kernel"
    data.mkdir()
    (data / "toolbox").symlink_to(toolbox.path.parent)
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(CHECKOUT), kept.get("PYTHONPATH")])),
        "AGENT_KERNEL_DATA_DIR": str(data),
        "JUPYTER_PATH": str(tmp_path / "share" / "jupyter"),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
    }


def _configured_docker(runtime: str | None = None) -> DockerBackend:
    image = os.environ.get("AGENT_KERNEL_IMAGE") or DEFAULT_IMAGE
    return DockerBackend(image, runtime or os.environ.get("AGENT_KERNEL_DOCKER_RUNTIME") or None)


async def _look(backend: Backend) -> Probe:
    try:
        return await backend.probe()
    finally:
        await backend.aclose()


@pytest.fixture(scope="session")
def docker_engine() -> None:
    """There is an engine with the toolbox image, or the test is skipped."""
    probe = asyncio.run(_look(_configured_docker()))
    if not probe.ok:
        _missing(f"{probe.detail} {probe.hint or ''}")


@pytest.fixture
async def docker_backend(docker_engine: None) -> AsyncIterator[DockerBackend]:
    """A Docker backend as the environment configures it; a test deletes the sandboxes that it makes."""
    backend = _configured_docker()
    yield backend
    await backend.aclose()


@pytest.fixture(scope="session")
def runsc(docker_engine: None) -> None:
    """The engine knows gVisor's runtime, or the test is skipped."""
    probe = asyncio.run(_look(_configured_docker("runsc")))
    if not probe.ok:
        _missing(f"{probe.detail} {probe.hint or ''}")


@pytest.fixture
async def docker_runsc_backend(runsc: None) -> AsyncIterator[DockerBackend]:
    """A Docker backend whose containers run on gVisor; a test deletes the sandboxes that it makes."""
    backend = _configured_docker("runsc")
    yield backend
    await backend.aclose()


@pytest.fixture
async def bubblewrap_backend(tmp_path: Path, toolbox: Toolbox) -> AsyncIterator[BubblewrapBackend]:
    """A bubblewrap backend with a folder of its own; a test deletes the sandboxes that it makes."""
    backend = BubblewrapBackend(tmp_path, toolbox)
    probe = await backend.probe()
    if not probe.ok:
        _missing(f"{probe.detail} {probe.hint or ''}")
    yield backend
    await backend.aclose()


@pytest.fixture(
    params=[
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("docker-runsc", marks=pytest.mark.docker),
        pytest.param("bubblewrap", marks=pytest.mark.bubblewrap),
    ]
)
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend in turn."""
    found: Backend = request.getfixturevalue(f"{request.param.replace('-', '_')}_backend")
    return found
