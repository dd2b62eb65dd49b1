"""One sandbox of each backend for a whole test session: cleaned before each test, replaced once it is broken.

A module uses it with the mark `SHARED` and the line `run = shared_run`, or in single tests with the mark and
the fixture `shared_run`. They leave nothing outside the folders in `CLEAN`. In a parallel run each worker has
its own session.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.toolbox import Toolbox
from tests.conftest import BUBBLEWRAP, GVISOR, RUNC, configured_docker
from tests.sandboxes.inside import Sandbox, started

SHARED = pytest.mark.asyncio(loop_scope="session")

CLEAN = r"""
for folder in /proc/[0-9]*; do
  pid=${folder#/proc/}
  case $pid in 1 | $$ | $PPID) continue ;; esac
  mapfile -d '' -t words <$folder/cmdline
  [[ ${words[*]} == *boxd* ]] || kill -9 $pid
done 2>/dev/null
shopt -s dotglob nullglob
rm -rf /mnt/data/* /tmp/*
"""


class SharedSandbox:
    """The sandbox of a backend, which is made when a test asks for it and kept while it works.

    `fields` are further fields of its `SandboxSpec`.
    """

    def __init__(self, backend: Backend, **fields: object) -> None:
        self.backend = backend
        self._fields = fields
        self._stack = contextlib.AsyncExitStack()
        self._sandbox: Sandbox | None = None

    async def ready(self) -> Sandbox:
        """Return a sandbox without processes, files or shell state of earlier tests."""
        if self._sandbox is None or self._sandbox.channel.closed.is_set():
            await self._stack.aclose()
            self._sandbox = await self._stack.enter_async_context(started(self.backend, **self._fields))
            return self._sandbox
        await self._sandbox.channel.reset()
        cleaned = await self._sandbox(CLEAN, timeout=30)
        assert cleaned.code == 0, cleaned
        await self._sandbox.channel.reset()
        return self._sandbox

    async def aclose(self) -> None:
        await self._stack.aclose()


def _made(kind: str, request: pytest.FixtureRequest) -> Backend:
    if kind == "bubblewrap":
        toolbox: Toolbox = request.getfixturevalue("toolbox")
        factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
        return BubblewrapBackend(factory.mktemp("sandboxes"), toolbox, eager=True)
    request.getfixturevalue("docker_engine" if kind == "docker" else "runsc")
    return configured_docker(None if kind == "docker" else "runsc")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_sandboxes() -> AsyncIterator[dict[str, SharedSandbox]]:
    """Yield the sandboxes that tests have asked for, by the kind of their backend."""
    sandboxes: dict[str, SharedSandbox] = {}
    yield sandboxes
    for sandbox in sandboxes.values():
        await sandbox.aclose()
        await sandbox.backend.aclose()


@pytest.fixture(scope="module", params=[RUNC, GVISOR, BUBBLEWRAP])
def shared_sandbox(
    request: pytest.FixtureRequest, shared_sandboxes: dict[str, SharedSandbox]
) -> SharedSandbox:
    """Return the sandbox of each backend in turn, for the event loop of the session."""
    kind: str = request.param
    if kind not in shared_sandboxes:
        shared_sandboxes[kind] = SharedSandbox(_made(kind, request))
    return shared_sandboxes[kind]


@pytest_asyncio.fixture(loop_scope="session")
async def shared_run(shared_sandbox: SharedSandbox) -> Sandbox:
    """Return the shared sandbox, cleaned."""
    return await shared_sandbox.ready()


@pytest.fixture
def shared_backend(shared_sandbox: SharedSandbox) -> Backend:
    """Return the backend of the shared sandbox, for tests that start further ones."""
    return shared_sandbox.backend
