"""A fresh sandbox for a test, on each backend in turn."""

from __future__ import annotations

from collections.abc import AsyncIterator

import docker
import pytest

from agent_kernel.sandboxes.base import Backend, SandboxRef
from agent_kernel.sandboxes.docker.backend import DockerBackend
from tests.sandboxes.docker.sandbox import RUN, new_spec
from tests.sandboxes.inside import Sandbox, started
from tests.sandboxes.shared import shared_run, shared_sandbox, shared_sandboxes

__all__ = ["shared_run", "shared_sandbox", "shared_sandboxes"]


@pytest.fixture
async def run(backend: Backend) -> AsyncIterator[Sandbox]:
    async with started(backend) as sandbox:
        yield sandbox


@pytest.fixture
def engine(docker_engine: None) -> docker.DockerClient:
    return docker.from_env()


@pytest.fixture
async def nothing_left(docker_engine: None, engine: docker.DockerClient) -> AsyncIterator[None]:
    """Every test here ends with the containers and volumes it began with, other runs aside."""
    yield
    listed = engine.containers.list(all=True, ignore_removed=True)
    left = [container for container in listed if (container.name or "").startswith(f"agent-kernel-{RUN}")]
    for container in left:  # or every later test would fail as well
        container.remove(force=True, v=True)
    engine.close()
    assert [container.name for container in left] == []


@pytest.fixture
async def sandbox(docker_backend: DockerBackend) -> AsyncIterator[SandboxRef]:
    ref = await docker_backend.create(new_spec(purpose="test"))
    yield ref
    await docker_backend.delete(ref)
