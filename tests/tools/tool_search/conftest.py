"""A runtime on a model that plays answers."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from agent_kernel.sandboxes.base import Backend
from tests.runtime.played import Upstream, runtime_on
from tests.tools.mcp.conftest import Make


@pytest.fixture
def runtime(upstream: Upstream, bubblewrap_backend: Backend, tmp_path: Path) -> Make:
    return partial(runtime_on, upstream.url, bubblewrap_backend, tmp_path)
