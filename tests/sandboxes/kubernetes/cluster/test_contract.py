"""Pods pass the sandbox contract."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.optional import volumes_of
from tests.sandboxes.contract.test_attachment import *  # noqa: F403 (collected here once more)
from tests.sandboxes.contract.test_commands import *  # noqa: F403
from tests.sandboxes.contract.test_files import *  # noqa: F403
from tests.sandboxes.contract.test_interruption import *  # noqa: F403
from tests.sandboxes.contract.test_life import *  # noqa: F403
from tests.sandboxes.contract.test_logs import *  # noqa: F403
from tests.sandboxes.contract.test_shells import *  # noqa: F403
from tests.sandboxes.contract.test_volumes import test_a_named_volume_outlives_its_sandboxes
from tests.sandboxes.inside import Sandbox, new_id
from tests.sandboxes.shared import SHARED, SharedSandbox

__all__ = ["test_a_named_volume_outlives_its_sandboxes"]

pytestmark = SHARED


@pytest_asyncio.fixture(loop_scope="session")  # type: ignore[no-redef]
async def run(shared_pod: SharedSandbox) -> Sandbox:
    return await shared_pod.ready()


@pytest.fixture  # type: ignore[no-redef]
def backend(shared_pod: SharedSandbox) -> Backend:
    return shared_pod.backend


@pytest_asyncio.fixture(loop_scope="session")
async def volume(shared_pod: SharedSandbox) -> AsyncIterator[str]:
    name = new_id()
    yield name
    await volumes_of(shared_pod.backend).remove_volume(name)
