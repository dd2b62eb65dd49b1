"""The runtime that asks before each call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.sandboxes.base import Backend
from tests.runtime.approvals.asking import ASK, opened


@pytest.fixture
async def runtime(bubblewrap_backend: Backend, tmp_path: Path) -> AsyncIterator[LocalRuntime]:
    async with opened(bubblewrap_backend, tmp_path, ASK) as runtime:
        yield runtime
