"""A fresh sandbox for a test, on each backend in turn."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent_kernel.sandboxes.base import Backend
from tests.sandboxes.inside import Sandbox, started


@pytest.fixture
async def run(backend: Backend) -> AsyncIterator[Sandbox]:
    async with started(backend) as sandbox:
        yield sandbox
