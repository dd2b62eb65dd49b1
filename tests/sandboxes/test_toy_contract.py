"""The toy backend, installed from its wheel, passes the required part of the sandbox contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

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
from tests.sandboxes.inside import Sandbox
from tests.sandboxes.shared import SHARED, SharedSandbox

pytestmark = SHARED


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared_toy(
    toy_backend_wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[SharedSandbox]:
    """One sandbox for most of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(toy_backend_wheel)
        shared = SharedSandbox(catalogue.make("toy", BackendOptions(tmp_path_factory.mktemp("toy"))))
    yield shared
    await shared.aclose()
    await shared.backend.aclose()


@pytest_asyncio.fixture(loop_scope="session")  # type: ignore[no-redef]
async def run(shared_toy: SharedSandbox) -> Sandbox:
    return await shared_toy.ready()


@pytest.fixture  # type: ignore[no-redef]
async def backend(toy_backend: Path, tmp_path: Path) -> AsyncIterator[Backend]:
    made = catalogue.make("toy", BackendOptions(tmp_path))
    yield made
    await made.aclose()
