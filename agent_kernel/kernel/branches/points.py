"""The snapshots that a notebook goes back to: taken, restored, and removed, the oldest first."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import AgentKernelError, CapabilityMissing, NotFound
from agent_kernel.kernel.branches.tree import Point

if TYPE_CHECKING:
    from agent_kernel.kernel.settings import KernelSettings
    from agent_kernel.runtime.base import Runtime
    from agent_kernel.runtime.snapshots import KeepsSnapshots, RestoredContainer

SNAPSHOT_SECONDS = 60.0
"""Seconds that a snapshot may take."""

NONE_HERE = "what runs this notebook's container keeps no snapshots"


class Points:
    """The points of one notebook, oldest first."""

    def __init__(
        self,
        runtime: Callable[[], Awaitable[Runtime]],
        settings: KernelSettings,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._runtime = runtime
        self._settings = settings
        self._log = log
        self._kept: list[Point] = []

    async def take(self, container_id: str) -> Point:
        """Keep what the container holds now. Older points are removed if there are too many.

        Raises `CapabilityMissing` if there are no snapshots here, and `AgentKernelError`.
        """
        containers = await self._containers()
        try:
            async with asyncio.timeout(SNAPSHOT_SECONDS):
                made = await containers.snapshot(container_id, automatic=True)
        except TimeoutError as error:
            raise AgentKernelError(f"a snapshot took more than {SNAPSHOT_SECONDS:.0f} s") from error
        point = Point(container_id, made.id, made.size, time.time())
        self._kept.append(point)
        await self._prune()
        return point

    async def restore(self, point: Point) -> RestoredContainer:
        """Put the container back to a point. Raises `AgentKernelError`; then nothing has changed."""
        try:
            return await (await self._containers()).restore(point.container_id, point.id)
        except NotFound:
            point.gone = "the runtime has removed its snapshot"
            raise

    async def keep_only(self, used: Collection[Point]) -> None:
        """Remove the points that nothing can go back to any more."""
        for point in [each for each in self._kept if each not in used]:
            await self._remove(point, "nothing led to it")

    def adopt(self, points: Sequence[Point]) -> None:
        """Hold the points that an earlier kernel has taken, instead of those of this one."""
        self._kept = sorted((each for each in points if not each.gone), key=lambda each: each.created)

    def forget(self) -> None:
        """Forget all points: their container is gone, and they with it."""
        self._kept.clear()

    async def _prune(self) -> None:
        settings, now = self._settings, time.time()
        while len(self._kept) > 1:
            oldest, size = self._kept[0], sum(each.size for each in self._kept)
            if now - oldest.created > settings.points_days * 86400:
                why = f"points are kept for {settings.points_days:g} days"
            elif len(self._kept) > settings.max_points:
                why = f"at most {settings.max_points} points are kept, and the oldest go first"
            elif size > settings.max_points_size:
                why = f"points may have {settings.max_points_size:,} bytes in all, and the oldest go first"
            else:
                return
            await self._remove(oldest, why)

    async def _remove(self, point: Point, why: str) -> None:
        self._kept.remove(point)
        point.gone = why
        with contextlib.suppress(NotFound):
            try:
                await (await self._containers()).delete_snapshot(point.container_id, point.id)
            except AgentKernelError:
                self._log.warning("Snapshot %s was not removed.", point.id, exc_info=True)

    async def _containers(self) -> KeepsSnapshots:
        from agent_kernel.runtime.snapshots import KeepsSnapshots

        containers = (await self._runtime()).containers
        if not isinstance(containers, KeepsSnapshots):
            raise CapabilityMissing(NONE_HERE)
        return containers
