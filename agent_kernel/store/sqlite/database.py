"""One SQLite file in WAL mode, and the versions that its tables have had.

It is used from one worker thread of its own, so that the event loop never waits for a disk and no two
statements of one process meet. Several processes (kernels, a server) may share the file.
"""

from __future__ import annotations

import asyncio
import copy
import fcntl
import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar

from agent_kernel.errors import ConfigurationError

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
    """
    ALTER TABLE responses ADD COLUMN owner TEXT;
    ALTER TABLE responses ADD COLUMN conversation_id TEXT;
    CREATE INDEX responses_unfinished ON responses(owner) WHERE owner IS NOT NULL;
    CREATE TABLE deletions (count INTEGER NOT NULL);
    INSERT INTO deletions VALUES (0);
    CREATE TABLE events (
        response_id TEXT NOT NULL REFERENCES responses(id) ON DELETE CASCADE,
        number INTEGER NOT NULL, event TEXT NOT NULL, PRIMARY KEY (response_id, number)
    ) WITHOUT ROWID;
    CREATE TABLE items (
        id TEXT PRIMARY KEY, response_id TEXT NOT NULL REFERENCES responses(id) ON DELETE CASCADE
    ) WITHOUT ROWID;
    CREATE INDEX items_of_response ON items(response_id);
    CREATE TABLE conversations (
        id TEXT PRIMARY KEY, created_at REAL NOT NULL, metadata TEXT NOT NULL, container_id TEXT
    );
    CREATE TABLE conversation_items (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        conversation_id TEXT NOT NULL REFERENCES conversations(id) ON DELETE CASCADE,
        id TEXT NOT NULL, item TEXT NOT NULL, stopped INTEGER NOT NULL DEFAULT 0,
        UNIQUE (conversation_id, id)
    );
    CREATE TABLE files (
        id TEXT PRIMARY KEY, created_at REAL NOT NULL, filename TEXT NOT NULL, purpose TEXT NOT NULL,
        bytes INTEGER NOT NULL, expires_at REAL
    );
    """,
    """
    CREATE TABLE keys (
        name TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, hash TEXT NOT NULL, created_at REAL NOT NULL,
        revoked_at REAL, turns INTEGER, containers INTEGER, stored_bytes INTEGER, requests_per_minute INTEGER
    );
    ALTER TABLE responses ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
    ALTER TABLE conversations ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
    ALTER TABLE containers ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
    ALTER TABLE files ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
    CREATE TABLE items_of_tenants (
        tenant TEXT NOT NULL, id TEXT NOT NULL,
        response_id TEXT NOT NULL REFERENCES responses(id) ON DELETE CASCADE, PRIMARY KEY (id, tenant)
    ) WITHOUT ROWID;
    INSERT INTO items_of_tenants SELECT '', id, response_id FROM items;
    DROP TABLE items;
    ALTER TABLE items_of_tenants RENAME TO items;
    CREATE INDEX items_of_response ON items(response_id);
    CREATE INDEX conversation_items_by_id ON conversation_items(id);
    """,
    """
    CREATE TABLE approvals (id TEXT PRIMARY KEY, response_id TEXT NOT NULL) WITHOUT ROWID;
    """,
    """
    CREATE TABLE skills (
        container_id TEXT NOT NULL REFERENCES containers(id) ON DELETE CASCADE ON UPDATE CASCADE,
        name TEXT NOT NULL, description TEXT NOT NULL, path TEXT NOT NULL, digest TEXT NOT NULL,
        PRIMARY KEY (container_id, name)
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE responses ADD COLUMN resumed INTEGER NOT NULL DEFAULT 0;
    UPDATE responses SET resumed = CASE WHEN json_valid(request) THEN
        CASE json_type(request, '$."agent_kernel.resumed"') WHEN 'integer'
        THEN min(max(json_extract(request, '$."agent_kernel.resumed"'), 0), 1000) ELSE 0 END
    ELSE 0 END WHERE owner IS NOT NULL;
    """,
)
"""Each brings the file from version n to n + 1 (`PRAGMA user_version`). Released ones never change."""


class _Connection:
    """The open file and the thread that uses it; every view of the database has the same one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    async def do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in one transaction on the worker thread. Cancelling the wait does not undo the work."""

        def transaction() -> T:
            try:
                if self._connection is None:
                    self._connection = _open(self._path)
                with self._connection as connection:
                    return work(connection)
            except (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.IntegrityError):
                raise  # about the values of one row, not about the file
            except (OSError, sqlite3.Error) as error:
                raise ConfigurationError(
                    f"The store at {self._path} cannot be used: {error}.",
                    hint="Free space there, or point AGENT_KERNEL_DATA_DIR at a folder that can be written.",
                ) from error

        return await asyncio.get_running_loop().run_in_executor(self._worker, transaction)

    async def aclose(self) -> None:
        """Finish what is queued and close the file. Idempotent."""
        if self._closed:
            return
        self._closed = True

        def close() -> None:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

        await asyncio.get_running_loop().run_in_executor(self._worker, close)
        self._worker.shutdown(wait=False)


class Database:
    """The file. It and its folder are made on first use, readable by this user only.

    `tenant` is whose rows are seen and made, None for all: every statement says so itself, by
    `tenant = coalesce(?, tenant)`.
    """

    tenant: str | None = None

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._connection = _Connection(self._path)

    def of(self, tenant: str) -> Self:
        """See `Store`."""
        view = copy.copy(self)
        view.tenant = tenant
        return view

    @property
    def folder(self) -> Path:
        """See `Store`."""
        return self._path.parent

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._connection.do(work)

    async def _forget(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work`, which deletes what is to be gone: from the file, and from the log beside it.

        What is deleted is overwritten in the file (`secure_delete`); older pages of it lie in the log until
        that is emptied.
        """
        done = await self._do(work)
        await self._empty_log()
        return done

    async def _empty_log(self) -> None:
        """Bring the log into the file and empty it; a reader in another process may put that off."""
        await self._do(lambda db: db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())

    async def identity(self) -> str:
        """See `Store`."""

        def work(db: sqlite3.Connection) -> str:
            db.execute("INSERT OR IGNORE INTO meta VALUES ('identity', ?)", (uuid.uuid4().hex,))
            return str(db.execute("SELECT value FROM meta WHERE key = 'identity'").fetchone()[0])

        return await self._do(work)

    async def aclose(self) -> None:
        """See `Store`."""
        await self._connection.aclose()


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    with _alone(path.parent):
        return _prepared(path)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else opens a store in this folder meanwhile.

    SQLite's timeout does not cover two that bring a new file into WAL mode at once: one of them is refused.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _prepared(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")
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
            hint="Update agent-kernel, or point AGENT_KERNEL_DATA_DIR at another folder.",
        )
    for script in MIGRATIONS[version:]:
        for statement in script.split(";"):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    connection.commit()
