"""The toy tool, installed from its wheel, and a sandbox of each backend that tests share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from agent_kernel.tools.catalogue import catalogue
from tests.runtime.played import Upstream
from tests.sandboxes.shared import shared_run, shared_sandbox, shared_sandboxes
from tests.wheels import install

__all__ = ["shared_run", "shared_sandbox", "shared_sandboxes"]

TOY = Path(__file__).parent / "toy_tool"


@pytest.fixture(scope="session")
def toy_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the toy tool installed from its wheel, as any other package that adds a tool."""
    return install(TOY, tmp_path_factory.mktemp("toy"))


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """An upstream that plays what it is given."""
    played = Upstream()
    server = await asyncio.start_server(played.serve, "127.0.0.1", 0)
    async with server:
        played.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        yield played


@pytest.fixture
def toy(toy_wheel: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The toy tool, in the catalogue of this process."""
    monkeypatch.syspath_prepend(toy_wheel)
    catalogue.cache_clear()
    yield toy_wheel
    catalogue.cache_clear()
