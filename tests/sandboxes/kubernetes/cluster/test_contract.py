"""Pods pass the sandbox contract, in one pod for most tests; `test_contract_of_new_pods.py` has the rest."""

from __future__ import annotations

import pytest
import pytest_asyncio

from agent_kernel.sandboxes.base import Backend
from tests.sandboxes.contract.test_attachment import *  # noqa: F403 (collected here once more)
from tests.sandboxes.contract.test_checkpoints import (
    test_a_paused_sandbox_stands_still_and_goes_on,
    test_an_unknown_checkpoint_is_said_and_leaves_nothing,
    test_held_paused_it_waits_for_the_host_that_holds_it,
    test_idle_a_sandbox_is_paused_until_the_next_command,
    test_left_for_nothing_a_sandbox_goes_on,
    test_one_host_at_a_time_replaces_the_files,
    test_what_a_command_has_closed_is_removed_all_the_same,
    test_what_another_host_does_is_not_paused,
)
from tests.sandboxes.contract.test_commands import *  # noqa: F403
from tests.sandboxes.contract.test_egress import *  # noqa: F403
from tests.sandboxes.contract.test_fidelity import *  # noqa: F403
from tests.sandboxes.contract.test_files import *  # noqa: F403
from tests.sandboxes.contract.test_interruption import *  # noqa: F403
from tests.sandboxes.contract.test_isolation import *  # noqa: F403
from tests.sandboxes.contract.test_logs import *  # noqa: F403
from tests.sandboxes.contract.test_shells import *  # noqa: F403
from tests.sandboxes.inside import Sandbox
from tests.sandboxes.shared import SHARED, SharedSandbox

__all__ = [
    "test_a_paused_sandbox_stands_still_and_goes_on",
    "test_an_unknown_checkpoint_is_said_and_leaves_nothing",
    "test_held_paused_it_waits_for_the_host_that_holds_it",
    "test_idle_a_sandbox_is_paused_until_the_next_command",
    "test_left_for_nothing_a_sandbox_goes_on",
    "test_one_host_at_a_time_replaces_the_files",
    "test_what_a_command_has_closed_is_removed_all_the_same",
    "test_what_another_host_does_is_not_paused",
]

pytestmark = SHARED

del test_there_is_no_network  # noqa: F821 (a pod has an interface; its policy is tested in test_bad_input.py)


@pytest_asyncio.fixture(loop_scope="session")  # type: ignore[no-redef]
async def run(shared_pod: SharedSandbox) -> Sandbox:
    return await shared_pod.ready()


@pytest.fixture  # type: ignore[no-redef]
def backend(shared_pod: SharedSandbox) -> Backend:
    return shared_pod.backend
