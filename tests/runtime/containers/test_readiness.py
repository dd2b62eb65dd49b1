"""What sandboxes are made from is prepared by the first container that needs it, with progress."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from agent_kernel.errors import ImageMissing, PreparationFailed
from agent_kernel.runtime.containers.containers import ContainerOptions, LocalContainers
from agent_kernel.runtime.containers.lifecycle import Lifecycle
from agent_kernel.runtime.containers.readiness import Prepare
from agent_kernel.runtime.observe.audit import OFF
from agent_kernel.runtime.progress import listening
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.toolbox import Toolbox
from agent_kernel.store.sqlite.store import sqlite_rows

pytestmark = pytest.mark.bubblewrap


class Bare:
    """Containers on a machine without a toolbox; `prepare` brings it."""

    def __init__(self, folder: Path, toolbox: Toolbox) -> None:
        self.calls = 0
        self.fail = False
        self.go = threading.Event()
        self._folder = folder
        self._toolbox = toolbox
        self._rows = sqlite_rows(folder / "store.sqlite")
        self._made: list[LocalContainers] = []

    def containers(self, prepare: Prepare | None) -> LocalContainers:
        backend = BubblewrapBackend(self._folder, Toolbox(self._folder))
        lifecycle = Lifecycle(backend, self._rows, ContainerOptions(), OFF, prepare)
        self._made.append(LocalContainers(lifecycle, self._rows))
        return self._made[-1]

    def prepare(self, backend: str, progress: Callable[[str], None]) -> None:
        assert backend == "bubblewrap"
        self.calls += 1
        progress("Installing packages")
        assert self.go.wait(60)
        if self.fail:
            raise PreparationFailed("There is no network.", hint="Connect it.")
        progress("Almost there")
        (self._folder / "toolbox").symlink_to(self._toolbox.path.parent)

    async def aclose(self) -> None:
        self.go.set()
        for containers in self._made:
            for each in (await containers.list()).data:
                await containers.delete(each.id)
            await containers.aclose()
        await self._rows.aclose()


@pytest.fixture
async def bare(tmp_path: Path, toolbox: Toolbox) -> AsyncIterator[Bare]:
    made = Bare(tmp_path, toolbox)
    yield made
    await made.aclose()


async def test_the_first_containers_share_one_preparation(bare: Bare) -> None:
    containers = bare.containers(bare.prepare)
    heard: list[str] = []
    both = asyncio.Event()

    def listen(text: str) -> None:
        heard.append(text)
        if heard.count("Installing packages") == 2:
            both.set()

    async def create() -> None:
        with listening(listen):
            await containers.create({})

    async with asyncio.TaskGroup() as group:
        group.create_task(create())
        group.create_task(create())
        await both.wait()
        bare.go.set()
    assert bare.calls == 1
    assert heard.count("Almost there") == 2
    assert len((await containers.list()).data) == 2


async def test_an_interrupt_leaves_the_preparation_running(bare: Bare) -> None:
    containers = bare.containers(bare.prepare)
    begun = asyncio.Event()
    with listening(lambda text: begun.set()):
        first = asyncio.create_task(containers.create({}))
        await begun.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await containers.list()).data == []
    bare.go.set()
    await containers.create({})
    assert bare.calls == 1


async def test_a_failure_is_told_and_tried_again(bare: Bare) -> None:
    containers = bare.containers(bare.prepare)
    bare.fail = True
    bare.go.set()
    with pytest.raises(PreparationFailed, match="no network"):
        await containers.create({})
    assert (await containers.list()).data == []
    bare.fail = False
    await containers.create({})
    assert bare.calls == 2


async def test_without_a_way_to_prepare_it_is_refused(bare: Bare) -> None:
    with pytest.raises(ImageMissing) as missing:
        await bare.containers(None).create({})
    assert "agent-kernel image build" in (missing.value.hint or "")
