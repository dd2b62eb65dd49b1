"""A runtime that may reach MCP servers on loopback, on a model that plays answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.runtime.turns.settings import TurnSettings
from agent_kernel.sandboxes.base import Backend
from agent_kernel.tools.mcp.servers import McpLimits
from agent_kernel.tools.outbound import AllowedHosts
from tests.clients.conftest import node  # noqa: F401 (a fixture)
from tests.runtime.played import Upstream, runtime_on
from tests.tools.mcp.served import Called, counting, served, watched

Make = Callable[..., AbstractAsyncContextManager[LocalRuntime]]


def loopback(*urls: str, **limits: Any) -> TurnSettings:
    """Settings that allow exactly these servers."""
    entries = [f"tcp://{url.removeprefix('http://')}" for url in urls]
    hosts = AllowedHosts.parse(entries, param="hosts") if entries else AllowedHosts()
    return TurnSettings(tools={"mcp": McpLimits(hosts=hosts, **limits)})


@pytest.fixture
def called() -> Called:
    return Called()


@pytest.fixture
async def calc(called: Called) -> AsyncIterator[str]:
    """The address of a server with a tool of each kind."""
    async with served(watched(counting(called).streamable_http_app(), called)) as url:
        yield url


@pytest.fixture
def runtime(upstream: Upstream, bubblewrap_backend: Backend, tmp_path: Path) -> Make:
    audit = AuditLog(tmp_path / "audit.jsonl")
    return partial(runtime_on, upstream.url, bubblewrap_backend, tmp_path, audit=audit)
