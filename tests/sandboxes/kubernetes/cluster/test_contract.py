"""Pods pass the sandbox contract."""

from __future__ import annotations

import pytest
import pytest_asyncio

from agent_kernel.sandboxes.base import Backend
from tests.sandboxes.contract.test_attachment import *  # noqa: F403 (collected here once more)
from tests.sandboxes.contract.test_commands import *  # noqa: F403
from tests.sandboxes.contract.test_files import *  # noqa: F403
from tests.sandboxes.contract.test_interruption import *  # noqa: F403
from tests.sandboxes.contract.test_life import *  # noqa: F403
from tests.sandboxes.contract.test_logs import *  # noqa: F403
from tests.sandboxes.contract.test_shells import *  # noqa: F403
from tests.sandboxes.contract.test_volumes import test_a_named_volume_outlives_its_sandboxes, volume
from tests.sandboxes.inside import Sandbox
from tests.sandboxes.shared import SHARED, SharedSandbox

__all__ = ["test_a_named_volume_outlives_its_sandboxes", "volume"]

pytestmark = SHARED


@pytest_asyncio.fixture(loop_scope="session")  # type: ignore[no-redef]
async def run(shared_pod: SharedSandbox) -> Sandbox:
    return await shared_pod.ready()


@pytest.fixture  # type: ignore[no-redef]
def backend(shared_pod: SharedSandbox) -> Backend:
    return shared_pod.backend
