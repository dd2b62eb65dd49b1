"""See `TraceRows`."""

from __future__ import annotations

from collections.abc import Collection

from agent_kernel.store.sql.database import MINE, SqlPart, Transaction

_PREVIOUS = f"SELECT previous_id FROM responses WHERE id = ? AND {MINE}"
_LATER = f"SELECT id FROM responses WHERE previous_id = ? AND {MINE}"

_MENTIONS = (
    ("responses", f"SELECT id FROM responses WHERE {MINE} AND (container_id LIKE ? ESCAPE '!'"
     " OR request LIKE ? ESCAPE '!' OR input LIKE ? ESCAPE '!' OR response LIKE ? ESCAPE '!')", 4),
    ("events", f"SELECT DISTINCT response_id FROM events JOIN responses ON id = response_id WHERE {MINE}"
     " AND event LIKE ? ESCAPE '!'", 1),
    ("conversations", "SELECT DISTINCT conversation_id FROM conversation_items i JOIN conversations c"
     f" ON c.id = i.conversation_id WHERE {MINE} AND item LIKE ? ESCAPE '!'", 1),
)  # fmt: skip
"""Each table that holds texts, with a query for its rows, and how often the query takes the pattern."""


class SqlTraces(SqlPart):
    """What belongs together, and where a text occurs."""

    async def related_responses(self, ids: Collection[str]) -> set[str]:
        """See `TraceRows`."""

        def work(db: Transaction) -> set[str]:
            found: set[str] = set()
            waiting = list(ids)
            while waiting:
                id_ = waiting.pop()
                row = None if id_ in found else db.execute(_PREVIOUS, (id_, self.tenant)).fetchone()
                if row is None:
                    continue
                found.add(id_)
                waiting += [row[0]] if row[0] is not None else []
                waiting += [later for (later,) in db.execute(_LATER, (id_, self.tenant)).fetchall()]
            return found

        return await self._do(work)

    async def mentions(self, text: str) -> set[tuple[str, str]]:
        """See `TraceRows`."""
        pattern = "%" + text.replace("!", "!!").replace("%", "!%").replace("_", "!_") + "%"

        def work(db: Transaction) -> set[tuple[str, str]]:
            found = set()
            for table, query, times in _MENTIONS:
                values = (self.tenant, *[pattern] * times)
                found |= {(table, str(id_)) for (id_,) in db.execute(query, values).fetchall()}
            return found

        return await self._do(work)
