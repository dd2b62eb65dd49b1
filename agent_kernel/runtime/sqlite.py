"""The store in one SQLite file in WAL mode.

It is used from one worker thread of its own, so that the event loop never waits for a disk and no two
statements of one process meet. Several processes (kernels, a server) may share the file.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from agent_kernel.errors import ConfigurationError
from agent_kernel.runtime.store import ContainerRow, ResponseRow

T = TypeVar("T")

MIGRATIONS = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE responses (
        id TEXT PRIMARY KEY, created_at REAL NOT NULL, status TEXT NOT NULL, model TEXT NOT NULL,
        previous_id TEXT, container_id TEXT,
        request TEXT NOT NULL, input TEXT NOT NULL, response TEXT NOT NULL
    );
    CREATE TABLE containers (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, backend TEXT NOT NULL, created_at REAL NOT NULL,
        last_active_at REAL NOT NULL, expires_after INTEGER NOT NULL, status TEXT NOT NULL, memory_limit TEXT
    );
    CREATE TABLE uploads (
        container_id TEXT NOT NULL REFERENCES containers(id) ON DELETE CASCADE,
        path TEXT NOT NULL, PRIMARY KEY (container_id, path)
    );
    """,
)
"""Each brings the file from version n to n + 1 (`PRAGMA user_version`). Released ones never change."""

_PUT_RESPONSE = "INSERT OR REPLACE INTO responses VALUES (?,?,?,?,?,?,?,?,?)"

_CHAIN = """
WITH RECURSIVE chain(id, previous_id, depth) AS (
    SELECT id, previous_id, 0 FROM responses WHERE id = ?
    UNION ALL
    SELECT r.id, r.previous_id, depth + 1 FROM responses r JOIN chain c ON r.id = c.previous_id
)
SELECT r.* FROM responses r JOIN chain c ON r.id = c.id ORDER BY c.depth DESC
"""


class SqliteStore:
    """The store in one file. The file and its folder are made on first use, readable by this user only."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in one transaction on the worker thread. Cancelling the wait does not undo the work."""

        def transaction() -> T:
            try:
                if self._connection is None:
                    self._connection = _open(self._path)
                with self._connection as connection:
                    return work(connection)
            except (OSError, sqlite3.Error) as error:
                raise ConfigurationError(
                    f"The store at {self._path} cannot be used: {error}.",
                    mend="Free space there, or point AGENT_KERNEL_DATA_DIR at a folder that can be written.",
                ) from error

        return await asyncio.get_running_loop().run_in_executor(self._worker, transaction)

    async def identity(self) -> str:
        """See `Store`."""

        def work(db: sqlite3.Connection) -> str:
            db.execute("INSERT OR IGNORE INTO meta VALUES ('identity', ?)", (uuid.uuid4().hex,))
            return str(db.execute("SELECT value FROM meta WHERE key = 'identity'").fetchone()[0])

        return await self._do(work)

    async def put_response(self, row: ResponseRow) -> None:
        """See `Store`."""
        values = (
            row.id, row.created_at, row.status, row.model, row.previous_id, row.container_id,
            json.dumps(row.request), json.dumps(row.input), json.dumps(row.response),
        )  # fmt: skip
        await self._do(lambda db: db.execute(_PUT_RESPONSE, values))

    async def response(self, id: str) -> ResponseRow | None:  # noqa: A002
        """See `Store`."""
        row = await self._do(lambda db: db.execute("SELECT * FROM responses WHERE id = ?", (id,)).fetchone())
        return _response(row) if row else None

    async def chain(self, id: str) -> list[ResponseRow]:  # noqa: A002
        """See `Store`."""
        return [_response(row) for row in await self._do(lambda db: db.execute(_CHAIN, (id,)).fetchall())]

    async def delete_response(self, id: str) -> bool:  # noqa: A002
        """See `Store`."""
        return await self._do(lambda db: db.execute("DELETE FROM responses WHERE id = ?", (id,)).rowcount > 0)

    async def put_container(self, row: ContainerRow) -> None:
        """See `Store`."""
        values = (
            row.id, row.name, row.backend, row.created_at, row.last_active_at, row.expires_after, row.status,
            row.memory_limit,
        )  # fmt: skip
        await self._do(
            lambda db: db.execute(
                "INSERT INTO containers VALUES (?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET"
                " name = excluded.name, backend = excluded.backend, last_active_at = excluded.last_active_at,"
                " expires_after = excluded.expires_after, status = excluded.status,"
                " memory_limit = excluded.memory_limit",
                values,
            )
        )

    async def container(self, id: str) -> ContainerRow | None:  # noqa: A002
        """See `Store`."""
        row = await self._do(lambda db: db.execute("SELECT * FROM containers WHERE id = ?", (id,)).fetchone())
        return ContainerRow(*row) if row else None

    async def containers(self) -> list[ContainerRow]:
        """See `Store`."""
        rows = await self._do(
            lambda db: db.execute("SELECT * FROM containers ORDER BY created_at, rowid").fetchall()
        )
        return [ContainerRow(*row) for row in rows]

    async def touch_container(self, id: str, when: float) -> None:  # noqa: A002
        """See `Store`."""
        await self._do(
            lambda db: db.execute(
                "UPDATE containers SET last_active_at = max(last_active_at, ?) WHERE id = ?", (when, id)
            )
        )

    async def end_container(self, id: str, status: str, *, if_idle_at: float | None = None) -> bool:  # noqa: A002
        """See `Store`."""
        idle_at = float("inf") if if_idle_at is None else if_idle_at
        return await self._do(
            lambda db: (
                db.execute(
                    "UPDATE containers SET status = ? WHERE id = ?"
                    " AND status IN ('creating', 'running', 'restoring')"
                    " AND last_active_at + expires_after * 60 <= ?",
                    (status, id, idle_at),
                ).rowcount
                > 0
            )
        )

    async def change_container(self, id: str, was: str, status: str, when: float) -> bool:  # noqa: A002
        """See `Store`."""
        return await self._do(
            lambda db: (
                db.execute(
                    "UPDATE containers SET status = ?, last_active_at = ? WHERE id = ? AND status = ?",
                    (status, when, id, was),
                ).rowcount
                > 0
            )
        )

    async def delete_container(self, id: str) -> bool:  # noqa: A002
        """See `Store`."""
        return await self._do(
            lambda db: db.execute("DELETE FROM containers WHERE id = ?", (id,)).rowcount > 0
        )

    async def add_upload(self, container_id: str, path: str) -> None:
        """See `Store`."""
        await self._do(
            lambda db: db.execute(
                "INSERT OR IGNORE INTO uploads SELECT id, ? FROM containers WHERE id = ?",
                (path, container_id),
            )
        )

    async def remove_upload(self, container_id: str, path: str) -> None:
        """See `Store`."""
        await self._do(
            lambda db: db.execute(
                "DELETE FROM uploads WHERE container_id = ? AND path = ?", (container_id, path)
            )
        )

    async def uploads(self, container_id: str) -> set[str]:
        """See `Store`."""
        rows = await self._do(
            lambda db: db.execute(
                "SELECT path FROM uploads WHERE container_id = ?", (container_id,)
            ).fetchall()
        )
        return {path for (path,) in rows}

    async def aclose(self) -> None:
        """See `Store`."""
        if self._closed:
            return
        self._closed = True

        def close() -> None:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

        await asyncio.get_running_loop().run_in_executor(self._worker, close)
        self._worker.shutdown(wait=False)


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    connection = sqlite3.connect(path, timeout=30)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")  # two processes that start together migrate once
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise ConfigurationError(
            f"The store at {path} was written by a newer agent-kernel (format {version}; this one knows"
            f" {len(MIGRATIONS)}).",
            mend="Update agent-kernel, or point AGENT_KERNEL_DATA_DIR at another folder.",
        )
    for script in MIGRATIONS[version:]:
        for statement in script.split(";"):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    connection.commit()


def _response(row: Sequence[Any]) -> ResponseRow:
    values: list[Any] = [*row[:6], *map(json.loads, row[6:])]
    return ResponseRow(*values)
