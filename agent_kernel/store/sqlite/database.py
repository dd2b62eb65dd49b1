"""One SQLite file, used from one worker thread.

So the event loop never waits for a disk, and a process never runs two statements at once.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from agent_kernel.errors import ConfigurationError
from agent_kernel.store.sql.database import Transaction
from agent_kernel.store.sqlite.migrations import MIGRATIONS, migrate

T = TypeVar("T")


class SqliteDatabase:
    """See `Database`. The file and its folder are made on first use, readable by this user only."""

    def __init__(self, path: Path, migrations: Sequence[str] = MIGRATIONS) -> None:
        self._path = path
        self._migrations = migrations
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._connection: sqlite3.Connection | None = None
        self._watching: sqlite3.Connection | None = None
        self._closed = False

    @property
    def exists(self) -> bool:
        """Whether the file exists."""
        return self._path.exists()

    async def do(self, work: Callable[[Transaction], T], *, alone: bool = False, reads: bool = False) -> T:
        """See `Database`. All work keeps its order."""

        def transaction() -> T:
            try:
                if self._connection is None:
                    self._connection = _open(self._path, self._migrations)
                with self._connection as connection:
                    if alone:
                        connection.execute("BEGIN IMMEDIATE")
                    return work(connection)
            except (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.IntegrityError):
                raise  # an error in one row's values, not in the file
            except (OSError, sqlite3.Error) as error:
                raise ConfigurationError(
                    f"The store at {self._path} cannot be used: {error}.",
                    hint="Free space there, or point AGENT_KERNEL_DATA_DIR at a folder that can be written.",
                ) from error

        return await asyncio.get_running_loop().run_in_executor(self._worker, transaction)

    def version(self) -> int | None:
        """See `Database`. It reads shared memory only; `PRAGMA data_version` is made for this."""
        try:
            if self._watching is None:
                if self._connection is None or self._closed:  # nothing was read yet
                    return None
                self._watching = sqlite3.connect(self._path, timeout=0)
            ((version,),) = self._watching.execute("PRAGMA data_version").fetchall()
        except sqlite3.Error:  # another process repairs the file, for instance
            return None
        return int(version)

    async def purge(self) -> None:
        """Move the write-ahead log into the file and empty it.

        `secure_delete` overwrites deleted rows in the file; older pages stay in the log until it is emptied.
        A reader in another process may delay that.
        """
        await self.do(lambda db: db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())

    async def aclose(self) -> None:
        """See `Database`."""
        if self._closed:
            return
        self._closed = True
        if self._watching is not None:
            with suppress(sqlite3.ProgrammingError):  # it belongs to another thread's loop
                self._watching.close()
            self._watching = None

        def close() -> None:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

        await asyncio.get_running_loop().run_in_executor(self._worker, close)
        self._worker.shutdown(wait=False)


def _open(path: Path, migrations: Sequence[str]) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    with _locked(path.parent):
        return _prepared(path, migrations)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes from opening a store in this folder.

    SQLite's timeout does not cover two processes that switch a new file to WAL mode at once: one fails.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _prepared(path: Path, migrations: Sequence[str]) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")
        migrate(connection, path, migrations)
    except BaseException:
        connection.close()
        raise
    return connection
