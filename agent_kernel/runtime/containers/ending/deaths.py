"""Deaths: a container whose sandbox was ended from outside keeps its files, as at expiry.

The store gives the container to one process first (status `saving`). That process takes the checkpoint, then
changes the status to `expired`, then removes the sandbox. A crash in between leaves the sandbox, and `saving`
is changed back to `running` when it is older than `START_TIME`.
"""

from __future__ import annotations

import asyncio
import logging
import time

from agent_kernel.errors import EngineUnavailable, SandboxError, SandboxGone, SandboxUnreachable
from agent_kernel.runtime.containers.ending.expiration import Expiration, Sandboxes
from agent_kernel.sandboxes.optional import Snapshot
from agent_kernel.store.records import ContainerRow
from agent_kernel.store.rows import Rows

log = logging.getLogger(__name__)


class Deaths:
    """Ends the containers of one store whose sandboxes are dead."""

    def __init__(self, sandboxes: Sandboxes, expiration: Expiration, store: Rows) -> None:
        self._sandboxes = sandboxes
        self._expiration = expiration
        self._store = store

    async def end(self, row: ContainerRow) -> None:
        """Keep what a dead sandbox has left, and end its container: `expired` with a checkpoint, else `dead`.

        Nothing is done if it no longer runs: another process has ended it, or it was deleted. Raises
        `EngineUnavailable` and `SandboxUnreachable`; the container is `running` then, and its next use tries
        again. A cancellation does the same.
        """
        claiming = asyncio.ensure_future(
            self._store.change_container(row.id, "running", "saving", time.time())
        )
        try:
            if not await asyncio.shield(claiming):
                return
            now = await self._store.container(row.id)
            if now is None or now.sandbox != row.sandbox:  # it has gone back to a snapshot: this one is past
                await asyncio.shield(asyncio.ensure_future(self._give_back(now or row, claiming)))
                return
            snapshot, reason = await self._kept(row)
        except BaseException:
            await asyncio.shield(asyncio.ensure_future(self._give_back(row, claiming)))
            raise
        await asyncio.shield(asyncio.ensure_future(self._settle(row, snapshot, reason)))

    async def _give_back(self, row: ContainerRow, claiming: asyncio.Future[bool]) -> None:
        if await claiming:
            await self._store.change_container(row.id, "saving", "running", row.last_active_at)

    async def _kept(self, row: ContainerRow) -> tuple[Snapshot | None, str | None]:
        """Take a checkpoint of what is left; None, and the reason, if that cannot be done."""
        if not await self._expiration.keeps():
            return None, "none are kept"
        try:
            await (await self._sandboxes.engine()).get(row.sandbox_id)
            return await self._sandboxes.checkpoints.take_dead(row), None
        except (EngineUnavailable, SandboxUnreachable):
            raise
        except SandboxGone as error:
            return None, error.message
        except SandboxError as error:
            log.warning("The files of container %s could not be kept: %s", row.id, error)
            return None, error.message

    async def _settle(self, row: ContainerRow, snapshot: Snapshot | None, reason: str | None) -> None:
        checkpoints = self._sandboxes.checkpoints
        status = "expired" if snapshot is not None or row.expires_at <= time.time() else "dead"
        if not await self._store.change_container(row.id, "saving", status, row.last_active_at):
            if snapshot is not None:  # the container was deleted meanwhile
                await checkpoints.remove(snapshot)
            return
        kept = f"; its checkpoint is {snapshot.id}" if snapshot is not None else ""
        log.warning("Container %s was ended from outside%s.", row.id, kept)
        self._sandboxes.audit.of(row.tenant).write(
            "dead", container=row.id, snapshot=snapshot.id if snapshot else None, reason=reason
        )
        await self._expiration.put_away(row)
        if snapshot is not None:
            await checkpoints.forget(row.id, but=snapshot.id)
