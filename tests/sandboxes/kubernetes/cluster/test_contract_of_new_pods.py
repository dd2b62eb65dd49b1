"""The part of the sandbox contract whose tests start pods of their own.

Pods have no folders of the host (`test_refusals.py`) and no limit on processes: those tests are left out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.optional import volumes_of
from tests.sandboxes.contract.test_families import test_families_are_refused_to_commands
from tests.sandboxes.contract.test_full_mounts import (
    test_filling_an_unbounded_place_ends_one,
    test_filling_memory_mounts_ends_nothing,
    test_places_without_size_are_read_only,
    unbounded,
)
from tests.sandboxes.contract.test_life import *  # noqa: F403
from tests.sandboxes.contract.test_limits import *  # noqa: F403
from tests.sandboxes.contract.test_processes import *  # noqa: F403
from tests.sandboxes.contract.test_survival import *  # noqa: F403
from tests.sandboxes.contract.test_versions import test_an_older_host_is_refused
from tests.sandboxes.contract.test_volumes import test_a_named_volume_outlives_its_sandboxes
from tests.sandboxes.inside import new_id

__all__ = [
    "test_a_named_volume_outlives_its_sandboxes",
    "test_an_older_host_is_refused",
    "test_families_are_refused_to_commands",
    "test_filling_an_unbounded_place_ends_one",
    "test_filling_memory_mounts_ends_nothing",
    "test_places_without_size_are_read_only",
    "unbounded",
]

del test_too_many_processes_is_said_in_words  # noqa: F821
del test_limits_reached_and_survived_are_said  # noqa: F821 (needs that limit, too)
del test_exit_codes_out_of_range_are_refused  # noqa: F821 (no sandbox)


@pytest.fixture
async def volume(backend: Backend) -> AsyncIterator[str]:
    name = new_id()
    yield name
    await volumes_of(backend).remove_volume(name)
