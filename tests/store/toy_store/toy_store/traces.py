"""What belongs together in the toy store, and where a text occurs."""

from __future__ import annotations

import json
from collections.abc import Collection

from .memory import Memory


class ToyTraces:
    _memory: Memory
    tenant: str | None

    def _mine(self, tenant: str) -> bool:
        return self.tenant in (None, tenant)

    async def related_responses(self, ids: Collection[str]) -> set[str]:
        rows = {id_: row for id_, (tenant, row) in self._memory.responses.items() if self._mine(tenant)}
        found: set[str] = set()
        waiting = {*ids} & {*rows}
        while waiting:
            found |= waiting
            before = {row.previous_id for id_, row in rows.items() if id_ in waiting}
            after = {id_ for id_, row in rows.items() if row.previous_id in waiting}
            waiting = {id_ for id_ in before | after if id_ in rows and id_ not in found}
        return found

    async def mentions(self, text: str) -> set[tuple[str, str]]:
        found = set()
        for id_, (tenant, row) in self._memory.responses.items():
            texts = json.dumps([row.container_id, row.request, list(row.input), row.response])
            if self._mine(tenant) and text in texts:
                found.add(("responses", id_))
            if self._mine(tenant) and any(
                text in each for each in self._memory.journals.get(id_, {}).values()
            ):
                found.add(("events", id_))
        for id_, talk in self._memory.talks.items():
            if self._mine(talk.tenant) and text in json.dumps([item for item, _ in talk.items.values()]):
                found.add(("conversations", id_))
        return found
