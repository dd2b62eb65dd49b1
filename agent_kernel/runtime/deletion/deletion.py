"""The removal of everything that a session left, and the search for what may be left of it."""

from __future__ import annotations

import logging

from agent_kernel.errors import AgentKernelError, NotFound
from agent_kernel.runtime.containers.containers import LocalContainers
from agent_kernel.runtime.deleting import DeletedSession
from agent_kernel.runtime.deletion.belongings import Belongings, belongings_of
from agent_kernel.runtime.deletion.own_files import remove_own_files
from agent_kernel.runtime.uploads.uploaded_files import Forget
from agent_kernel.sandboxes.optional import Snapshot
from agent_kernel.store.blobs import Blobs
from agent_kernel.store.rows import Rows

log = logging.getLogger(__name__)


class SessionDeletion:
    """Deletes sessions of `rows` with all that belongs to them.

    `own_files`: also remove the archives and cassettes that it has written on this machine.
    """

    def __init__(
        self,
        rows: Rows,
        blobs: Blobs,
        containers: LocalContainers,
        *,
        own_files: bool = False,
        forget: Forget | None = None,
    ) -> None:
        self._forget = forget
        self._rows = rows
        self._blobs = blobs
        self._containers = containers
        self._audit = containers.audit
        self._own_files = own_files

    async def delete(self, session_id: str) -> DeletedSession:
        """Delete a session; see `DeletesSessions.delete_session`."""
        session = await self._rows.session(session_id)
        if session is None:
            raise NotFound(f"There is no kept session {session_id[:100]!r}.", param="session_id")
        found = await belongings_of(session, self._rows, self._containers.checkpoints)
        removed: list[str] = []
        remains: list[str] = []
        await self._remove_containers(found, removed, remains)
        await self._remove_rows(found, removed)
        if self._own_files:
            others = [each for each in await self._rows.sessions() if each.id != session_id]
            removed += remove_own_files(found, others, self._audit.path)
        # Last: until then the command can be given again. It also empties the database's log.
        if not remains:
            await self._rows.delete_session(session_id)
            removed.append(f"the session {session_id}")
            remains = await self._left(found)
        self._audit.write(
            "session.delete", session=session_id, removed=removed, shared=found.shared or None,
            remains=remains or None, verified=not remains,
        )  # fmt: skip
        return DeletedSession(session_id, removed, found.shared, remains)

    async def _remove_containers(self, found: Belongings, removed: list[str], remains: list[str]) -> None:
        """Remove sandboxes before their checkpoints: an engine keeps an image that a container runs from."""
        for row in found.containers:
            try:
                await self._containers.delete(row.id)
                removed.append(f"the container {row.id}")
            except NotFound:
                log.info("The container %s was deleted by somebody else.", row.id)
            except AgentKernelError as error:
                remains.append(f"the container {row.id}: {error.message}")
        for snapshot in await self._snapshots(found):
            try:
                await self._containers.checkpoints.remove_now(snapshot)
            except AgentKernelError as error:
                remains.append(f"the checkpoint {snapshot.id}: {error.message}")
        there = {each.id for each in await self._snapshots(found)}
        removed += [f"the checkpoint {each.id}" for each in found.snapshots if each.id not in there]

    async def _snapshots(self, found: Belongings) -> list[Snapshot]:
        """Return those of its checkpoints that did not go with their container."""
        if not found.snapshots:
            return []
        wanted = {each.id for each in found.snapshots}
        return [each for each in await self._containers.checkpoints.all() if each.id in wanted]

    async def _remove_rows(self, found: Belongings, removed: list[str]) -> None:
        for file_id in found.files:
            await self._blobs.delete(file_id)
            await self._rows.delete_file(file_id)
            if self._forget is not None:
                await self._forget(file_id)
            removed.append(f"the uploaded file {file_id}")
        for conversation_id in sorted(found.conversations):
            if await self._rows.delete_conversation(conversation_id):
                removed.append(f"the conversation {conversation_id}")
        for row in found.responses:
            if await self._rows.delete_response(row.id):
                removed.append(f"the response {row.id}")

    async def _left(self, found: Belongings) -> list[str]:
        """Search again for everything that was removed. Return what is there, in words."""
        left = [f"the response {row.id}" for row in found.responses if await self._rows.response(row.id)]
        blobs = await self._blobs.sizes() if found.files else {}
        left += [f"the uploaded file {each}" for each in found.files if each in blobs]
        left += [f"the uploaded file {each}" for each in found.files if await self._rows.file(each)]
        sandboxes = await self._containers.sandboxes() if found.containers else []
        for row in found.containers:
            left += [f"the container {row.id}"] if await self._rows.container(row.id) else []
            left += [f"the sandbox {each}" for each in sandboxes if each.startswith(row.sandbox_id)]
        left += [f"the checkpoint {each.id}" for each in await self._snapshots(found)]
        for id_ in [found.session.id, *(row.id for row in found.containers)]:
            left += [f"{table}/{one}" for table, one in sorted(await self._rows.mentions(id_))]
        return left
