"""llama.cpp's server with a small model, and a runtime whose models are on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from tests.conftest import Missing
from tests.environments import EnvironmentMissing
from tests.models.local.server import Llama, install, running
from tests.runtime.played import Turn, runtime_on, turns_of


@pytest.fixture(scope="session")
def llama_python(missing: Missing) -> Path:
    """The Python of the server's environment."""
    try:
        return install()
    except EnvironmentMissing as why:
        missing(str(why))


@pytest.fixture(scope="session")
def llama(llama_python: Path) -> Iterator[Llama]:
    """A server whose template renders tools."""
    with running(llama_python, "calls.jinja") as llama:
        yield llama


@pytest.fixture(scope="session")
def words_only(llama_python: Path) -> Iterator[Llama]:
    """A server whose template has no place for tools."""
    with running(llama_python, "words.jinja") as llama:
        yield llama


@pytest.fixture(params=["chat", "responses"])
def model(request: pytest.FixtureRequest) -> str:
    """A model's name in each dialect."""
    return f"{request.param}/smollm2"


@pytest.fixture
async def runtime(
    llama: Llama, bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> AsyncIterator[LocalRuntime]:
    async with runtime_on(llama.url, bubblewrap_backend, tmp_path) as runtime:
        yield runtime
        await llama.idle()  # a request that goes on would slow down the next test


@pytest.fixture
def turn(runtime: LocalRuntime) -> Turn:
    return turns_of(runtime)
