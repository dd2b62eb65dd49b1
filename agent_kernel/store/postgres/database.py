"""A PostgreSQL database: changes in their order on one connection, reads on a few others.

The connections belong to worker threads, so that the event loop never waits for the database. A change is
carried out exactly once, also when the database is restarted in the middle of it: one that was not committed
is run again, and whether one was committed is asked for by its transaction id.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Generic, TypeVar

import psycopg
from psycopg.errors import DeadlockDetected, SerializationFailure
from psycopg.pq import TransactionStatus

from agent_kernel.errors import ConfigurationError
from agent_kernel.store.postgres.connecting import LOST, DatabaseAddress
from agent_kernel.store.postgres.migrations import ALONE, prepare
from agent_kernel.store.sql.database import Cursor, Transaction, Values

T = TypeVar("T")

TRIES = 5
"""The most runs of a transaction that conflicts with others."""

READERS = 3
"""The most connections for reads, each made when the others are busy."""

PATIENCE = 30.0
"""Seconds for which work waits for a database that was there and is gone: a restart is not noticed."""

AGAIN = 0.2
"""Seconds between two attempts to connect meanwhile."""


class Membership:
    """What this process is among those that share a store; all its connections look at it.

    `id` is set once it has joined. What it changes from then on is refused if the others took it for dead:
    they have its turns.
    """

    def __init__(self) -> None:
        self.id: str | None = None

    def begin(self) -> bytes:
        """Return the statement that begins a change."""
        member = "1"
        if self.id is not None:
            member = f"(SELECT 1 FROM peers WHERE id = '{self.id}' FOR KEY SHARE)"  # noqa: S608 (made here)
        return f"BEGIN; SELECT pg_current_xact_id()::text, {member}".encode()


class TakenForDead(ConfigurationError):
    """The other servers of the store have taken this one for dead, and have its turns."""


class PostgresDatabase:
    """See `Database`. The tables are made on first use, in the first schema of the search path."""

    def __init__(self, address: DatabaseAddress, membership: Membership | None = None) -> None:
        self._address = address
        self._membership = membership or Membership()
        self._changes = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._reads = ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="store-reads")
        self._own = threading.local()
        self._open: set[psycopg.Connection] = set()
        self._prepared = False
        self._gone_since: float | None = None
        self._closed = threading.Event()

    async def do(self, work: Callable[[Transaction], T], *, alone: bool = False, reads: bool = False) -> T:
        """See `Database`."""

        def run() -> T:
            return self._read(work) if reads else self._change(work, alone)

        worker = self._reads if reads else self._changes
        return await asyncio.get_running_loop().run_in_executor(worker, run)

    def _read(self, work: Callable[[Transaction], T]) -> T:
        def run(connection: psycopg.Connection) -> T:
            with connection.transaction():
                return work(_PostgresTransaction(connection))

        return self._with_patience(run)

    def _change(self, work: Callable[[Transaction], T], alone: bool) -> T:
        change = _Change(work, alone, self._membership)
        for _ in range(TRIES - 1):
            try:
                return self._with_patience(change.run)
            except (DeadlockDetected, SerializationFailure):
                continue  # the server has undone everything
        return self._with_patience(change.run)

    def _with_patience(self, run: Callable[[psycopg.Connection], T]) -> T:
        """Run something on this thread's connection, again while the database is gone."""
        while True:
            try:
                connection = self._connected()
                done = run(connection)
            except (DeadlockDetected, SerializationFailure):
                raise
            except LOST as error:
                if not self._lost() or not self._waited():
                    raise self._address.unusable(error) from None
            except psycopg.errors.InsufficientPrivilege as error:
                raise self._address.unusable(error) from None
            else:
                self._gone_since = None
                return done

    def _connected(self) -> psycopg.Connection:
        connection: psycopg.Connection | None = getattr(self._own, "connection", None)
        if connection is None or connection.closed:
            connection = self._opened()
            self._own.connection = connection
            self._open.add(connection)
        return connection

    def _opened(self) -> psycopg.Connection:
        connection = self._address.connect()
        try:
            if not self._prepared:
                prepare(connection)
                self._prepared = True
        except LOST:
            connection.close()
            raise
        except psycopg.Error as error:  # no permission, or tables of another program
            connection.close()
            raise self._address.unusable(error) from None
        except BaseException:
            connection.close()
            raise
        return connection

    def _lost(self) -> bool:
        """Return whether the connection is gone, and not just the work refused; forget it then."""
        connection: psycopg.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            return True
        if not connection.closed:
            return False
        self._open.discard(connection)
        self._own.connection = None
        return True

    def _waited(self) -> bool:
        """Wait a moment for a database that was there. Return whether it is worth another attempt."""
        if not self._prepared:
            return False
        now = time.monotonic()
        if self._gone_since is None:
            self._gone_since = now
            return True
        return now - self._gone_since < PATIENCE and not self._closed.wait(AGAIN)

    def version(self) -> int | None:
        """Return None: only a query would tell."""
        return None

    async def purge(self) -> None:
        """Do nothing: PostgreSQL reuses the space of deleted rows after its own vacuum."""

    async def aclose(self) -> None:
        """See `Database`."""
        if self._closed.is_set():
            return
        self._closed.set()

        def close() -> None:
            for worker in (self._changes, self._reads):
                worker.shutdown()
            for connection in self._open:
                connection.close()
            self._open.clear()

        await asyncio.to_thread(close)


class _Change(Generic[T]):
    """One transaction that changes something, to be run until it is committed once."""

    def __init__(self, work: Callable[[Transaction], T], alone: bool, membership: Membership) -> None:
        self._work = work
        self._alone = alone
        self._membership = membership
        self._committing: tuple[str, T] | None = None
        """The id of the transaction whose commit was not confirmed, and what its work returned."""

    def run(self, connection: psycopg.Connection) -> T:
        """Run it, unless the last run was committed after all."""
        if self._committing is not None:
            number, done = self._committing
            if _committed(connection, number):
                return done
            self._committing = None
        try:
            number = self._begin(connection)
            done = self._work(_PostgresTransaction(connection))
            self._committing = number, done
            connection.execute("COMMIT")
        except BaseException:
            if not connection.closed and connection.info.transaction_status != TransactionStatus.IDLE:
                connection.execute("ROLLBACK")
            if not connection.closed:
                self._committing = None
            raise
        self._committing = None
        return done

    def _begin(self, connection: psycopg.Connection) -> str:
        """Begin a transaction, and return its number. Raises `TakenForDead`."""
        cursor = connection.execute(self._membership.begin())
        cursor.nextset()
        number, member = cursor.fetchone() or ("", None)
        if member is None:
            raise TakenForDead(
                "This process had lost its connection to PostgreSQL, and the other servers have taken over"
                " its turns.",
                hint="Start it again.",
            )
        if self._alone:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (ALONE,))
        return str(number)


def _committed(connection: psycopg.Connection, number: str) -> bool:
    """Return whether a transaction was committed. Its connection is gone, so it ends soon."""
    while True:
        row = connection.execute("SELECT pg_xact_status(%s::text::xid8)", (number,)).fetchone()
        if row is None or row[0] != "in progress":
            return row is not None and row[0] == "committed"
        time.sleep(AGAIN)


class _PostgresTransaction:
    """Runs statements as `Transaction` writes them."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def execute(self, query: str, values: Values = (), /) -> Cursor:
        return self._connection.execute(_translated(query), _storable(values))

    def executemany(self, query: str, rows: Iterable[Values], /) -> object:
        with self._connection.cursor() as cursor:
            cursor.executemany(_translated(query), [_storable(values) for values in rows])
        return None


@lru_cache(maxsize=256)
def _translated(query: str) -> bytes:
    return query.replace("%", "%%").replace("?", "%s").encode()


def _storable(values: Values) -> list[Any]:
    """Replace NUL, which PostgreSQL cannot store in text. JSON has it escaped, so only names lose it."""
    return [value.replace("\0", "\ufffd") if isinstance(value, str) else value for value in values]
