"""A sandbox from the warm pool costs a small part of a start, and leaves nothing behind."""

from __future__ import annotations

import statistics

import pytest

from agent_kernel.sandboxes.base import Backend
from benchmarks.warm_pool import from_pool


@pytest.mark.slow
async def test_a_sandbox_from_the_pool_is_there_at_once(backend: Backend) -> None:
    before = {ref.id for ref in await backend.list()}
    times = await from_pool(backend, 3)
    assert statistics.median(times) < 250  # 50 ms is what is claimed; here others are at work as well
    assert not [ref.id for ref in await backend.list() if ref.id.startswith("warm-") and ref.id not in before]
