"""One sandbox for the tests of a module: cleaned before each test, and replaced if a test has broken it.

A module uses it with a fixture `run` that returns `await module_sandbox.ready()`, and the mark `SHARED`. Its
tests leave nothing outside the folders in `CLEAN`.
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

SHARED = pytest.mark.asyncio(loop_scope="module")

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


class ModuleSandbox:
    """The sandbox of a module, which is made when a test asks for it and kept while it works."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._stack = contextlib.AsyncExitStack()
        self._sandbox: Sandbox | None = None

    async def ready(self) -> Sandbox:
        """Return a sandbox without processes, files or shell state of earlier tests."""
        if self._sandbox is None or self._sandbox.channel.closed.is_set():
            await self.aclose()
            self._sandbox = await self._stack.enter_async_context(started(self._backend))
            return self._sandbox
        await self._sandbox.channel.reset()
        cleaned = await self._sandbox(CLEAN, timeout=30)
        assert cleaned.code == 0, cleaned
        await self._sandbox.channel.reset()
        return self._sandbox

    async def aclose(self) -> None:
        await self._stack.aclose()


@pytest.fixture(scope="module", params=[RUNC, GVISOR, BUBBLEWRAP])
def module_backend(request: pytest.FixtureRequest) -> Backend:
    """Return each backend in turn, for the event loop of a module."""
    if request.param == "bubblewrap":
        toolbox: Toolbox = request.getfixturevalue("toolbox")
        factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
        return BubblewrapBackend(factory.mktemp("sandboxes"), toolbox)
    request.getfixturevalue("docker_engine" if request.param == "docker" else "runsc")
    return configured_docker(None if request.param == "docker" else "runsc")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_sandbox(module_backend: Backend) -> AsyncIterator[ModuleSandbox]:
    sandbox = ModuleSandbox(module_backend)
    yield sandbox
    await sandbox.aclose()
    await module_backend.aclose()
