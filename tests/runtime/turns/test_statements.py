"""What a turn asks of the database: as much in a long chain as in a short one, and never a whole table."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.store.records import ResponseRow
from agent_kernel.store.sql.responses import BATCH
from agent_kernel.store.sqlite.database import SqliteDatabase
from tests.runtime.played import Upstream, runtime_on, turns_of

pytestmark = pytest.mark.bubblewrap

ONE_ROW = ("deletions", "c")
"""A table of one row, and the turns of a chain, which are all wanted."""


class Watched:
    """Notes the statements of a store with their values."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.statements: list[str] = []
        self.deleted: list[int] = []
        """Deletions of responses in each transaction."""
        self.database: SqliteDatabase | None = None
        do = SqliteDatabase.do

        async def watched(database: SqliteDatabase, work: Any, **how: bool) -> Any:
            self.database = database

            def traced(db: Any) -> Any:
                before = _responses(db)
                db.set_trace_callback(self.statements.append)
                try:
                    return work(db)
                finally:
                    db.set_trace_callback(None)
                    self.deleted.append(before - _responses(db))

            return await do(database, traced, **how)

        monkeypatch.setattr(SqliteDatabase, "do", watched)

    def take(self) -> list[str]:
        """Return the statements since the last time, without those that only begin and end transactions."""
        found, self.statements = self.statements, []
        words = ("select", "insert", "update", "delete", "with")
        return [each.strip() for each in found if each.strip().lower().startswith(words)]

    async def plan(self, statement: str) -> list[str]:
        """Return the steps by which SQLite would carry a statement out."""
        assert self.database is not None
        rows = await self.database.do(lambda db: db.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall())
        self.take()
        return [str(row[3]) for row in rows]


def _without_values(statement: str) -> str:
    return re.sub(r"'(?:[^']|'')*'|\b[0-9.]+\b|NULL", "?", statement)


def _responses(db: Any) -> int:
    return int(db.execute("SELECT count(*) FROM responses").fetchone()[0])


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(monkeypatch)


@asynccontextmanager
async def opened(upstream: Upstream, backend: BubblewrapBackend, folder: Path) -> AsyncIterator[LocalRuntime]:
    async with runtime_on(upstream.url, backend, folder) as runtime:
        yield runtime


async def test_turn_asks_for_as_much_late_in_a_chain_as_early(
    upstream: Upstream, bubblewrap_backend: BubblewrapBackend, tmp_path: Path, watched: Watched
) -> None:
    asked: list[list[str]] = []
    previous: str | None = None
    async with opened(upstream, bubblewrap_backend, tmp_path) as runtime:
        turn = turns_of(runtime)
        for number in range(30):
            upstream.says({"content": f"Answer {number}."})
            watched.take()
            previous = (await turn("And?", previous_response_id=previous)).id
            asked.append([_without_values(each) for each in watched.take()])
        assert asked[29] == asked[2]
        assert len(asked[2]) <= 7
        assert not any("RECURSIVE" in each for each in asked[2])

    async with opened(upstream, bubblewrap_backend, tmp_path) as runtime:  # it remembers nothing
        upstream.says({"content": "Still here."})
        watched.take()
        await turns_of(runtime)("And?", previous_response_id=previous)
        assert sum("RECURSIVE" in each for each in watched.take()) == 1


async def test_no_statement_of_a_turn_reads_a_whole_table(
    upstream: Upstream, bubblewrap_backend: BubblewrapBackend, tmp_path: Path, watched: Watched
) -> None:
    async with opened(upstream, bubblewrap_backend, tmp_path) as runtime:
        turn = turns_of(runtime)
        upstream.says({"content": "One."})
        first = await turn("And?")
        watched.take()
        upstream.says({"content": "Two."})
        await turn("And?", previous_response_id=first.id)
        await runtime.retrieve(first.id)
        statements = watched.take()
        assert statements
        for statement in statements:
            scans = [step for step in await watched.plan(statement) if step.startswith("SCAN")]
            assert all(step.split()[1] in ONE_ROW for step in scans), (statement, scans)


async def test_expiry_takes_the_store_for_few_turns_at_a_time(
    upstream: Upstream, bubblewrap_backend: BubblewrapBackend, tmp_path: Path, watched: Watched
) -> None:
    async with opened(upstream, bubblewrap_backend, tmp_path) as runtime:
        rows: Any = runtime._rows
        for number in range(120):
            before = f"resp_{number - 1}" if number % 40 else None
            await rows.put_response(
                ResponseRow(
                    f"resp_{number}", number // 2, "completed", "m", before, None, {}, [], {"output": []}
                )
            )
        watched.take()
        watched.deleted.clear()
        assert await rows.expire_responses(50.0) == (80, 50.0)  # 20 old ones lead to later turns
        assert sum(watched.deleted) == 80
        assert max(watched.deleted) <= 2 * BATCH + 1
