"""Going back: points before cells, cells that are run again, and branches.

A point is a snapshot of the container, taken just before a cell that may change it, unless nothing has
changed since the last one. What came after a point that a notebook goes back to stays as a branch.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from agent_kernel.errors import AgentKernelError, CapabilityMissing, InvalidRequest
from agent_kernel.kernel.branches import words
from agent_kernel.kernel.branches.points import Points
from agent_kernel.kernel.branches.tree import CellTree, KeptState, Point, Position, RanCell

if TYPE_CHECKING:
    from agent_kernel.kernel.container import NotebookContainer
    from agent_kernel.kernel.outputs import CellOutputs
    from agent_kernel.kernel.settings import KernelSettings
    from agent_kernel.runtime.base import Runtime

STOP_SECONDS = 10.0
"""Seconds that going back may still take after an interrupt."""

NOT_ASKED = "no point was kept, because `rerun` was `continue`"
REPLACED = "the container was replaced"

Agree = Callable[[str], Awaitable[bool]]
"""Ask the user whether to go back; the argument says what is undone."""


class Conversation(Protocol):
    """The conversation that goes back together with its container."""

    @property
    def previous_id(self) -> str | None:
        """The response that the next turn continues."""
        ...

    async def position(self) -> Position:
        """Return where it stands."""
        ...

    def move_to(self, position: Position) -> None:
        """Continue from there."""
        ...

    def tell_model(self, note: str) -> None:
        """Add a developer message to the beginning of the next turn."""
        ...


@dataclass(frozen=True)
class BegunCell:
    """A cell that begins: its id in the notebook if it has one, its number `In [number]`, its first words.

    `keeps` says whether a point is kept before it; `agree` asks first before it goes back, None goes back.
    `returns` is false for a cell that stays where it is although it has run before.
    """

    id: str | None
    number: int
    words: str
    keeps: bool
    returns: bool
    agree: Agree | None = None


class Branches:
    """The cells of one notebook as a tree. Use it from one event loop, one cell at a time."""

    def __init__(
        self,
        container: NotebookContainer,
        runtime: Callable[[], Awaitable[Runtime]],
        conversation: Conversation,
        settings: KernelSettings,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self.tree = CellTree()
        self._container = container
        self._conversation = conversation
        self._log = log
        self._points = Points(runtime, settings, log)
        self._unable = ""
        self._told: set[str] = set()
        self._running: tuple[BegunCell, RanCell, int] | None = None
        self._at: tuple[Point, int] | None = None
        self.moved: Callable[[], Awaitable[None]] | None = None
        """Called when the notebook has gone to another moment."""
        container.created = self._created

    # -- cells --------------------------------------------------------------------------------------------

    async def begin(self, cell: BegunCell, outputs: CellOutputs) -> None:
        """Begin a cell that changes something. One that has run before goes back first.

        Raises `InvalidRequest` if it cannot go back to a point that was kept, and what opens the container
        raises. Nothing has changed then, and after an interrupt before the container went back.
        """
        if cell.returns and cell.id is not None:
            await self._again(cell, outputs)
        await self._open(cell, outputs)

    def end(self) -> None:
        """End the running cell, if one began. A cell that has done nothing leaves no trace."""
        running, self._running = self._running, None
        if running is None:
            return
        _, cell, changes = running
        last = self._conversation.previous_id
        if last == cell.before.position.previous_id and changes == self._container.changes:
            self.tree.drop(cell)
        else:
            cell.response_id = last

    async def _open(self, cell: BegunCell, outputs: CellOutputs) -> None:
        point, missing = None, NOT_ASKED
        if cell.keeps and self._container.id is not None:
            point, missing = await self._point(outputs)
        before = KeptState(await self._conversation.position(), point, missing)
        tree = self.tree
        ran = RanCell(cell.number, cell.id, cell.words, time.time(), tree.here.tip, before)
        ran.container_id = self._container.id
        tree.append(ran)
        self._running = cell, ran, self._container.changes

    async def _again(self, cell: BegunCell, outputs: CellOutputs) -> None:
        if self._find(cell) is None:
            return
        await self._container.open(outputs)  # it may be gone, and its points with it
        found = self._find(cell)
        if found is None:
            return
        if found.before.point is None:
            self._tell_once(words.not_kept(found.before.missing), outputs)
            return
        path = self.tree.here.path()
        if cell.agree is not None and not await cell.agree(
            words.asked_back(len(path) - path.index(found) - 1)
        ):
            return
        try:
            await self._move(
                found.before, lambda now: words.went_back(self.tree.go_back(found.parent, now)), outputs
            )
        except InvalidRequest as error:
            if not isinstance(error.__cause__, CapabilityMissing):
                raise
            self._unable = words.reason(error.__cause__)  # a workspace on a volume, for example
            self._tell_once(words.not_kept(self._unable), outputs)

    def _find(self, cell: BegunCell) -> RanCell | None:
        return self.tree.find(cell.id, self._container.id) if cell.id is not None else None

    # -- what the user asks for -----------------------------------------------------------------------------

    async def rewind(self, word: str, outputs: CellOutputs, *, conversation_only: bool = False) -> None:
        """Go back to before a cell, named by number or id; without a word before the last one.

        `conversation_only` leaves the container as it is. Raises `InvalidRequest`; nothing has changed then.
        """
        async with self._paused(outputs):
            target = self.tree.wanted(word)

            def apply(now: KeptState) -> str:
                undone, tree = self.tree.go_back(target.parent, now), self.tree
                return words.rewound(
                    target.number, undone, tree.here.name, conversation_only=conversation_only
                )

            await self._move(target.before, apply, outputs, conversation_only=conversation_only)

    async def switch(self, name: str, outputs: CellOutputs, *, conversation_only: bool = False) -> None:
        """Use another branch, as it was left. Raises `InvalidRequest`; nothing has changed then."""
        async with self._paused(outputs):
            branch, left = self.tree.other(name), self.tree.here.name
            moment = branch.moment or KeptState(Position(), None, REPLACED)

            def apply(now: KeptState) -> str:
                self.tree.switch(name, now)
                return f"Now on branch {name}, as it was left; branch {left} is kept."

            await self._move(moment, apply, outputs, conversation_only=conversation_only)

    async def delete(self, name: str) -> None:
        """Remove a branch. Raises `InvalidRequest` for the one in use and for one that there is not."""
        self.tree.delete(name)
        await self._tidy()

    def rename(self, old: str, new: str) -> None:
        """Give a branch another name. Raises `InvalidRequest`."""
        self.tree.rename(old, new)

    @contextlib.asynccontextmanager
    async def _paused(self, outputs: CellOutputs) -> AsyncIterator[None]:
        """End the running cell meanwhile: its rest continues from where the notebook is afterwards."""
        running = self._running
        self.end()
        yield
        if running is not None:
            await self._open(running[0], outputs)

    # -- another kernel -------------------------------------------------------------------------------------

    @property
    def clean(self) -> Point | None:
        """The point that the container is at, if nothing has changed it since."""
        return self._clean

    def resume(self, tree: CellTree, points: Sequence[Point], at: Point | None) -> None:
        """Go on with the cells of an earlier kernel. `at` is the point that the container is at."""
        self.tree, self._unable, self._running = tree, "", None
        self._points.adopt(points)
        self._at = (at, self._container.changes) if at is not None else None

    async def settle(self) -> None:
        """Keep a point of now, if the container has changed since the last one. A failure is logged."""
        if self._container.id is not None and self._clean is None and not self._unable:
            await self._tried(self._container.id, None)

    # -- points -------------------------------------------------------------------------------------------

    async def _point(self, outputs: CellOutputs) -> tuple[Point | None, str]:
        """Return the point of now, or why there is none. A failure is said once."""
        opened = await self._container.open(outputs)  # it may be gone, and another one take its place
        if self._clean is not None:
            return self._clean, ""
        if self._unable:
            return None, self._unable
        return await self._tried(opened.id, outputs)

    async def _tried(self, container_id: str, outputs: CellOutputs | None) -> tuple[Point | None, str]:
        try:
            return await self._taken(container_id), ""
        except CapabilityMissing as error:  # said when a cell is run again: until then nobody misses it
            self._unable = words.reason(error)
        except AgentKernelError as error:
            self._log.warning("No point was kept.", exc_info=True)
            self._unable = words.reason(error)
            if outputs is not None:
                self._tell_once(words.not_kept(self._unable), outputs)
        return None, self._unable

    async def _taken(self, container_id: str) -> Point:
        changes = self._container.changes
        point = await self._points.take(container_id)
        self._at = point, changes
        self.tree.remove_gone()
        return point

    @property
    def _clean(self) -> Point | None:
        """The point that the container is at, if nothing has changed it since."""
        at = self._at
        return at[0] if at and at[1] == self._container.changes and not at[0].gone else None

    async def _created(self, container_id: str, outputs: CellOutputs) -> None:
        """Take note of a new container. If a cell runs, the empty one is the point before it."""
        self.tree.cut(REPLACED)
        self._points.forget()
        self._at, self._unable = None, ""
        if self._running is None:
            return
        cell, ran, _ = self._running
        ran.container_id = container_id
        if cell.keeps:
            point, missing = await self._tried(container_id, outputs)
            ran.before = KeptState(ran.before.position, point, missing)

    # -- moving -------------------------------------------------------------------------------------------

    async def _move(
        self,
        to: KeptState,
        apply: Callable[[KeptState], str],
        outputs: CellOutputs,
        *,
        conversation_only: bool = False,
    ) -> None:
        """Go to a moment, then change the tree with `apply`, which gets the state of now.

        Either all of it happens or nothing, also after an interrupt. Raises `InvalidRequest`.
        """
        now = await self._now(to, conversation_only)
        outputs.step("Going back")
        moving = asyncio.ensure_future(self._moved(to, now, apply, outputs, conversation_only))
        try:
            await asyncio.shield(moving)
        except asyncio.CancelledError:
            await asyncio.wait({moving}, timeout=STOP_SECONDS)
            moving.cancel()
            await asyncio.wait({moving})
            raise
        await self._tidy()
        if self.moved is not None:
            await self.moved()

    async def _now(self, to: KeptState, conversation_only: bool) -> KeptState:
        """Return the state of now, with a point, so that what is left behind can be opened again."""
        position = await self._conversation.position()
        if conversation_only:
            return KeptState(position, self._clean, "" if self._clean else "only its conversation was kept")
        if to.point is None or to.point.gone:
            raise words.refused(to.obstacle)
        if self._container.id is None:
            raise words.refused("there is no container")
        try:
            return KeptState(position, self._clean or await self._taken(self._container.id))
        except AgentKernelError as error:
            raise words.refused(f"the present state could not be kept, {words.reason(error)}") from error

    async def _moved(
        self,
        to: KeptState,
        now: KeptState,
        apply: Callable[[KeptState], str],
        outputs: CellOutputs,
        conversation_only: bool,
    ) -> None:
        from agent_kernel.kernel.render.bundles import note

        lines, told = [], ""
        if not conversation_only and to.point is not None and self._clean is not to.point:
            if to.point.gone:  # removed to make room for the point of now
                raise words.refused(to.point.gone)
            try:
                restored = await self._points.restore(to.point)
            except AgentKernelError as error:
                raise words.refused(to.obstacle or words.reason(error)) from error
            lines, told = [words.lost(restored)], words.lost_for_model(restored)
            self._at = to.point, self._container.changes
        lines.insert(0, apply(now))
        self._conversation.move_to(to.position)
        if told:
            self._conversation.tell_model(told)
        for line in filter(None, lines):
            outputs.emit(note(line))

    async def _tidy(self) -> None:
        used = [*self.tree.points(), *([self._clean] if self._clean else [])]
        await self._points.keep_only(used)

    def _tell_once(self, text: str, outputs: CellOutputs) -> None:
        from agent_kernel.kernel.render.bundles import note

        if text not in self._told:
            self._told.add(text)
            outputs.emit(note(text))
