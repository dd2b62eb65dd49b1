"""A sandbox with a Python session, and a way to run cells in it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import pytest_asyncio

from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.toolbox import Toolbox
from agent_kernel.tools.code_interpreter.session import (
    CellResult,
    CodeCell,
    run_cell,
)
from tests.sandboxes.inside import Sandbox, started

Run = Callable[..., Coroutine[Any, Any, CellResult]]
LIMIT = 2000
_NAMES = itertools.count()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(toolbox: Toolbox, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    backend = BubblewrapBackend(tmp_path_factory.mktemp("sandboxes"), toolbox)
    memory = 512 << 20 if backend.capabilities().memory_limit else 1 << 30
    async with started(backend, memory=memory) as sandbox:
        yield sandbox
    await backend.aclose()


@pytest.fixture
def run(sandbox: Sandbox) -> Run:
    async def run(code: str, seconds: float = 60, channel: Channel | None = None) -> CellResult:
        return await run_cell(
            channel or sandbox.channel, CodeCell(f"cell/{next(_NAMES)}", code, seconds, LIMIT)
        )

    return run
