"""The toy store's kept sessions."""

from __future__ import annotations

from dataclasses import replace

from agent_kernel.store.records import SessionRow

from .memory import Memory


class ToySessions:
    def __init__(self, memory: Memory, tenant: str | None = None) -> None:
        self._memory = memory
        self.tenant = tenant

    def _sees(self, tenant: str) -> bool:
        return self.tenant in (None, tenant)

    async def add_session(self, row: SessionRow, most: int) -> bool:
        if sum(each.tenant == row.tenant for each in self._memory.sessions.values()) >= most:
            return False
        self._memory.sessions[row.id] = row
        return True

    async def replace_session(self, row: SessionRow, was: int) -> bool:
        known = await self.session(row.id)
        if known is None or known.revision != was:
            return False
        self._memory.sessions[row.id] = replace(row, created_at=known.created_at, tenant=known.tenant)
        return True

    async def session(self, id: str) -> SessionRow | None:  # noqa: A002
        row = self._memory.sessions.get(id)
        return row if row is not None and self._sees(row.tenant) else None

    async def sessions(self) -> list[SessionRow]:
        rows = [replace(row, state="") for row in self._memory.sessions.values() if self._sees(row.tenant)]
        return sorted(rows, key=lambda row: (-row.updated_at, row.id))

    async def delete_session(self, id: str) -> bool:  # noqa: A002
        return await self.session(id) is not None and self._memory.sessions.pop(id) is not None

    def referred(self) -> set[str | None]:
        return {id_ for row in self._memory.sessions.values() for id_ in (row.response_id, *row.responses)}

    async def session_containers(self) -> set[str]:
        return {row.container_id for row in await self.sessions() if row.container_id is not None}

    async def interrupted_turn(self, id: str) -> str | None:  # noqa: A002
        kept, last = await self.session(id), None
        if kept is None:
            return None
        last = kept.response_id
        turns = [row for tenant, row in self._memory.responses.values() if tenant == kept.tenant]
        for row in sorted(turns, key=lambda row: row.created_at):
            here = row.container_id == kept.container_id and row.created_at >= kept.updated_at
            if here and row.previous_id == last:
                last = row.id
        return last if last != kept.response_id else None
