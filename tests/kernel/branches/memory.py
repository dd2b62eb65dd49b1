"""A container in memory, and a conversation: what a notebook's branches work on, without a sandbox."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from agent_kernel.errors import NotFound
from agent_kernel.kernel.branches.branches import BegunCell, Branches
from agent_kernel.kernel.branches.tree import Position
from agent_kernel.kernel.container import NotebookContainer
from agent_kernel.kernel.outputs import CellOutputs
from agent_kernel.kernel.settings import KernelSettings
from agent_kernel.runtime.base import FileChanges
from agent_kernel.runtime.snapshots import ContainerSnapshot, RestoredContainer

SIZE = 1000


class MemoryFiles:
    """The part of `ContainerFiles` that tells whether a container lives."""

    def __init__(self, containers: MemoryContainers) -> None:
        self._containers = containers

    async def changes(self, container_id: str, *, since: str | None = None) -> FileChanges:
        self._containers.find(container_id)
        return FileChanges([], 0, "mark", known=True)


class MemoryContainers:
    """Containers with numbered states. `fails` is raised by the next snapshot or restore."""

    def __init__(self) -> None:
        self.files = MemoryFiles(self)
        self.states: dict[str, dict[str, str]] = {}
        self.kept: dict[str, tuple[ContainerSnapshot, dict[str, str]]] = {}
        self.fails: dict[str, Exception] = {}
        self.ended: Sequence[str] = ()
        self.lost: Sequence[str] = ()
        self.held: asyncio.Event | None = None
        self.reached = asyncio.Event()
        self.taken = 0
        self._numbers = itertools.count(1)

    def find(self, container_id: str) -> dict[str, str]:
        if container_id not in self.states:
            raise NotFound("There is no such container.")
        return self.states[container_id]

    async def create(self, _params: object) -> Any:
        container_id = f"cntr_{next(self._numbers)}"
        self.states[container_id] = {}
        return SimpleNamespace(id=container_id, expires_after=None, model_extra=None)

    async def delete(self, container_id: str) -> None:
        del self.states[container_id]
        self.kept = {key: each for key, each in self.kept.items() if each[0].container_id != container_id}

    async def snapshot(
        self, container_id: str, *, name: str = "", automatic: bool = False
    ) -> ContainerSnapshot:
        assert automatic
        if error := self.fails.get("snapshot"):
            raise error
        number = next(self._numbers)
        made = ContainerSnapshot(f"snap_{number}", container_id, number, SIZE, name, automatic)
        self.kept[made.id] = made, dict(self.find(container_id))
        self.taken += 1
        return made

    async def snapshots(self, container_id: str) -> Sequence[ContainerSnapshot]:
        return [made for made, _ in self.kept.values() if made.container_id == container_id]

    async def delete_snapshot(self, container_id: str, snapshot_id: str) -> None:
        del self.kept[snapshot_id]

    async def restore(self, container_id: str, snapshot_id: str) -> RestoredContainer:
        if self.held is not None:
            self.reached.set()
            await self.held.wait()
        if error := self.fails.get("restore"):
            raise error
        if snapshot_id not in self.kept:
            raise NotFound("There is no such snapshot.")
        self.find(container_id)
        self.states[container_id] = dict(self.kept[snapshot_id][1])
        return RestoredContainer(cast(Any, None), self.ended, self.lost)

    async def fork(self, *_: object, **__: object) -> Any:
        raise NotImplementedError


class BareContainers:
    """Containers of a server without snapshots."""

    def __init__(self, inner: MemoryContainers) -> None:
        self.files, self.create = inner.files, inner.create


async def no_equipment(_container_id: str, _outputs: CellOutputs) -> None:
    """Give a new container nothing."""


class Desk:
    """A notebook without Jupyter. `shown` is what it shows, `said` what was said in the conversation."""

    def __init__(self, settings: KernelSettings | None = None, *, bare: bool = False) -> None:
        self.containers = MemoryContainers()
        self.said: tuple[str, ...] = ()
        self.told: list[str] = []
        self.shown: list[str] = []
        self.outputs = CellOutputs(self._publish)
        log = logging.getLogger(__name__)
        offered = BareContainers(self.containers) if bare else self.containers
        runtime = cast(Any, SimpleNamespace(containers=offered))

        async def opened() -> Any:
            return runtime

        self.container = NotebookContainer(opened, self.told.append, log, no_equipment)
        self.branches = Branches(self.container, opened, self, settings or KernelSettings(), log)
        self._numbers = itertools.count(1)

    def _publish(self, _kind: str, content: dict[str, Any]) -> None:
        self.shown.append(content["data"]["text/plain"])

    # -- a conversation: its id is all that was said ---

    @property
    def previous_id(self) -> str | None:
        return "|".join(self.said) or None

    async def position(self) -> Position:
        return Position(self.previous_id, (), self.said)

    def move_to(self, position: Position) -> None:
        self.said = cast("tuple[str, ...]", position.uploaded)

    def tell_model(self, note: str) -> None:
        self.told.append(note)

    # -- cells ---

    @property
    def files(self) -> dict[str, str]:
        return self.containers.states[self.container.id] if self.container.id else {}

    @property
    def done(self) -> list[str]:
        """What was written, in order."""
        return [name for name in self.files if name != "last"]

    async def write(self, text: str) -> None:
        """Change the container, as a command does."""
        await self.container.open(self.outputs)
        self.container.touched()
        self.files["last"] = text
        self.files[text] = ""

    async def run(self, cell_id: str | None, text: str, *, keeps: bool = True, works: bool = True) -> int:
        """Run a cell that writes a file and says so. Return its number."""
        number = next(self._numbers)
        cell = BegunCell(cell_id, number, text, keeps, keeps)
        try:
            await self.branches.begin(cell, self.outputs)
            if works:
                await self.write(text)
                self.said += (text,)
        finally:
            self.branches.end()
        return number
