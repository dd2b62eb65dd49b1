"""The toy backend, installed from its wheel, passes the required part of the sandbox contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_kernel.sandboxes import catalogue
from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.catalogue import BackendOptions
from tests.sandboxes.contract.test_attachment import *  # noqa: F403 (collected here once more)
from tests.sandboxes.contract.test_commands import *  # noqa: F403
from tests.sandboxes.contract.test_files import *  # noqa: F403
from tests.sandboxes.contract.test_interruption import *  # noqa: F403
from tests.sandboxes.contract.test_life import *  # noqa: F403
from tests.sandboxes.contract.test_logs import *  # noqa: F403
from tests.sandboxes.contract.test_shells import *  # noqa: F403
from tests.sandboxes.inside import Sandbox, started

pytestmark: list[pytest.MarkDecorator] = []  # type: ignore[no-redef]  # those modules share one sandbox of each built-in backend


@pytest.fixture  # type: ignore[no-redef]
async def run(backend: Backend) -> AsyncIterator[Sandbox]:
    async with started(backend) as sandbox:
        yield sandbox


@pytest.fixture  # type: ignore[no-redef]
async def backend(toy_backend: Path, tmp_path: Path) -> AsyncIterator[Backend]:
    made = catalogue.make("toy", BackendOptions(tmp_path))
    yield made
    await made.aclose()
