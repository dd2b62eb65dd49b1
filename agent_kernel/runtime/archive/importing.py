"""A living session from an archive that was checked: all of it, or nothing."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from contextlib import aclosing
from dataclasses import dataclass
from itertools import count
from typing import Any

from agent_kernel.errors import AgentKernelError, InvalidRequest, LimitReached, SandboxError
from agent_kernel.protocol import ids
from agent_kernel.protocol.params import MEMORY_LIMITS
from agent_kernel.runtime.archive import manifest as names
from agent_kernel.runtime.archive.contents import ArchivedResponse
from agent_kernel.runtime.archive.files import unpack
from agent_kernel.runtime.archive.labels import Relabelling
from agent_kernel.runtime.archive.packages import missing, packages_of
from agent_kernel.runtime.archive.reading import SessionArchive
from agent_kernel.runtime.archive.shell import restore_shell
from agent_kernel.runtime.archive.trust import known_uploads, without_rights
from agent_kernel.runtime.containers.containers import LocalContainers
from agent_kernel.runtime.kept import LONGEST_NAME
from agent_kernel.store.records import Finish, ResponseRow, SessionRow
from agent_kernel.store.rows import Rows

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImportedSession:
    """A session that was made of an archive. `notes` say in words what is not as it was."""

    session: SessionRow
    turns: int
    files: int
    notes: tuple[str, ...]


class SessionImport:
    """Makes a session of an archive. `rows` are those of all tenants, so that no id is used twice."""

    def __init__(self, archive: SessionArchive, rows: Rows, containers: LocalContainers, most: int) -> None:
        self._archive = archive
        self._rows = rows
        self._containers = containers
        self._most = most
        self._made: list[str] = []
        self._notes: list[str] = []
        self._snapshots: dict[str, str] = {}

    async def run(self, notebook: str = "") -> ImportedSession:
        """Make the session; `notebook` is where its notebook is here.

        Raises `LimitReached`, `SandboxError` and what creating a container raises. After an error and a
        cancellation nothing is left.
        """
        container_id: str | None = None
        try:
            if names.FILES in self._archive:
                container_id = await self._container()
                await self._fill(container_id)
            row = await self._store(container_id, notebook)
        except BaseException:
            await asyncio.shield(asyncio.ensure_future(self._undo(container_id)))
            raise
        self._containers.audit.write(
            "import", session=row.id, container=container_id, turns=self._archive.responses,
            size=self._archive.tree.size,
        )  # fmt: skip
        return ImportedSession(row, self._archive.responses, self._archive.tree.files, tuple(self._notes))

    async def _container(self) -> str:
        found = names.read_object(self._archive.text(names.CONTAINER), names.CONTAINER)
        name, memory = found.get("name"), found.get("memory_limit")
        params: dict[str, Any] = {
            "name": name if isinstance(name, str) and 0 < len(name) <= 256 else "imported"
        }
        if memory in MEMORY_LIMITS:
            try:
                return (await self._containers.create({**params, "memory_limit": memory})).id
            except InvalidRequest as error:  # this sandbox cannot limit memory, or the operator allows less
                self._notes.append(f"The memory limit of {memory} is not set: {error.message}")
        return (await self._containers.create(params)).id

    async def _fill(self, container_id: str) -> None:
        """Let the container hold each snapshot in turn, and keep it; last, what it held at the export."""
        for number, was in enumerate(self._archive.snapshots):
            await self._hold(container_id, names.snapshot_files(number), names.snapshot_shell(number))
            made = await self._containers.snapshot(container_id, automatic=True)
            self._snapshots[was] = made.id
        await self._hold(container_id, names.FILES, names.SHELL)
        if names.PACKAGES in self._archive:
            before = names.read_object(self._archive.text(names.PACKAGES), names.PACKAGES)
            async with self._containers.use(container_id, to_run=True) as channel:
                lacking = missing(before, await packages_of(channel))
            if lacking:
                first = ", ".join(each[:80] for each in lacking[:10])
                self._notes.append(f"{len(lacking)} Python packages are not here: {first}")

    async def _hold(self, container_id: str, files: str, shell: str) -> None:
        """Replace the files and the shell of the container."""
        async with self._containers.use(container_id, to_run=True) as channel:
            await channel.reset()
            async with aclosing(self._archive.files(files)) as content:
                await unpack(channel, content)
            saved = self._archive.shell(shell)
            if saved is not None:
                try:
                    await restore_shell(channel, saved)
                except SandboxError as error:
                    self._notes.append(f"The shell's variables are not restored: {error.message}")

    async def _store(self, container_id: str | None, notebook: str) -> SessionRow:
        archived = self._archive.session
        known = await self._new_ids(archived.container_id, container_id)
        labels = Relabelling(known)
        for turn in self._archive.turns():
            await self._add(turn, labels, archived.container_id, container_id)
        session_id, now = archived.id, time.time()
        if not session_id.startswith("sess_") or await self._rows.session(session_id) is not None:
            session_id = ids.session_id()
        state, notes = without_rights(archived.state)
        state["uploads"], changed = known_uploads(state, self._archive)
        self._notes += [*notes, *changed]
        name = await self._name(archived.name)
        row = SessionRow(
            id=session_id, name=name, created_at=archived.created_at or now, updated_at=now,
            response_id=labels.id(archived.response_id) if archived.response_id else None,
            container_id=container_id, notebook=notebook,
            state=json.dumps(labels.value(state), ensure_ascii=False, separators=(",", ":")),
            responses=tuple(sorted(labels.id(each) for each in archived.responses)),
            tenant=self._rows.tenant or "",
        )  # fmt: skip
        if not await self._rows.add_session(row, self._most):
            raise LimitReached(
                f"There are {self._most:,} sessions already.",
                hint="Delete one: agent-kernel session delete ID",
            )
        return row

    async def _name(self, wanted: str) -> str:
        """Return the session's name, with a number if another session has it: names find sessions."""
        taken = {each.name for each in await self._rows.sessions()}
        if not wanted or wanted not in taken:
            return wanted
        numbered = (f"{wanted[: LONGEST_NAME - 10]}-{number}" for number in count(2))
        name = next(each for each in numbered if each not in taken)
        self._notes.append(f"A session {wanted} is here already; this one is called {name}.")
        return name

    async def _new_ids(self, was: str | None, container_id: str | None) -> dict[str, str]:
        """Return the id of each turn here: its own, or a new one where that is taken."""
        known = {was: container_id} if was is not None and container_id is not None else {}
        known |= self._snapshots
        for turn in self._archive.turns():
            taken = not turn.id.startswith("resp_") or await self._rows.response(turn.id) is not None
            known[turn.id] = ids.response_id() if taken else turn.id
        return known

    async def _add(
        self, turn: ArchivedResponse, labels: Relabelling, was: str | None, container_id: str | None
    ) -> None:
        id_ = labels.id(turn.id)
        row = ResponseRow(
            id=id_, created_at=turn.created_at, status=turn.status, model=turn.model,
            previous_id=labels.id(turn.previous_id) if turn.previous_id else None,
            container_id=container_id if turn.container_id is not None and turn.container_id == was else None,
            request=labels.value(turn.request), input=labels.value(turn.input),
            response=labels.value(turn.response),
        )  # fmt: skip
        self._made.append(id_)
        await self._rows.put_response(row)
        await self._rows.finish_response(Finish(row))

    async def _undo(self, container_id: str | None) -> None:
        for id_ in reversed(self._made):
            await self._rows.delete_response(id_)
        if container_id is not None:
            try:
                await self._containers.delete(container_id)
            except AgentKernelError as error:
                log.error(
                    "The container %s of an import that failed was not removed: %s", container_id, error
                )
