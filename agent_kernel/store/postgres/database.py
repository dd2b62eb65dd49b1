"""One connection to a PostgreSQL database, used from one worker thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import DeadlockDetected, SerializationFailure

from agent_kernel.errors import ConfigurationError
from agent_kernel.store.postgres.migrations import migrate
from agent_kernel.store.sql.database import Cursor, Transaction, Values

T = TypeVar("T")

ALONE = 0x61676E74
"""The number of the advisory lock for exclusive transactions."""

TRIES = 5
"""The most runs of a transaction that conflicts with others."""

CONNECT_SECONDS = 10


class PostgresDatabase:
    """See `Database`. The tables are made on first use, in the first schema of the search path.

    `folder_id` is the id of the data folder with the blobs and the coordination. Only the first folder that
    used a database may use it, because processes with different folders would take each other for dead.
    A connection that the server has closed is opened again for the next transaction.
    """

    def __init__(self, url: str, folder_id: Callable[[], str]) -> None:
        """Raise `ConfigurationError` for a URL that PostgreSQL does not understand."""
        self._password = _password(url)
        self._url = url
        self._folder_id = folder_id
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._connection: psycopg.Connection | None = None
        self._closed = False

    async def do(self, work: Callable[[Transaction], T], *, alone: bool = False) -> T:
        """See `Database`."""

        def run() -> T:
            try:
                return self._run(work, alone)
            except (OSError, psycopg.OperationalError, psycopg.InterfaceError) as error:
                raise self._unusable(error) from None

        return await asyncio.get_running_loop().run_in_executor(self._worker, run)

    def _run(self, work: Callable[[Transaction], T], alone: bool) -> T:
        for _ in range(TRIES - 1):
            begun = False
            connection = self._connected()
            try:
                with connection.transaction():
                    begun = True
                    return _in_transaction(connection, work, alone)
            except (DeadlockDetected, SerializationFailure):
                continue  # the server has undone everything
            except psycopg.OperationalError:
                if begun:
                    raise
                connection.close()  # the server was restarted meanwhile; nothing was done yet
        connection = self._connected()
        with connection.transaction():
            return _in_transaction(connection, work, alone)

    def _connected(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = self._open()
        return self._connection

    def _open(self) -> psycopg.Connection:
        connection = psycopg.connect(
            self._url, autocommit=True, connect_timeout=CONNECT_SECONDS, application_name="agent-kernel"
        )
        try:
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (ALONE,))
                migrate(connection)
                self._check_folder(connection)
        except psycopg.OperationalError:
            connection.close()
            raise
        except psycopg.Error as error:  # no permission, or tables of another program
            connection.close()
            raise self._unusable(error) from None
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_folder(self, connection: psycopg.Connection) -> None:
        ours = self._folder_id()
        query = "INSERT INTO meta (key, value) VALUES ('folder', %s) ON CONFLICT DO NOTHING"
        connection.execute(query, (ours,))
        found = connection.execute("SELECT value FROM meta WHERE key = 'folder'").fetchone()
        if found != (ours,):
            raise ConfigurationError(
                "This PostgreSQL store belongs to another data folder. Servers that share a store must run on"
                " one machine with one data folder.",
                hint="Set AGENT_KERNEL_DATA_DIR to that folder, or name another database. If the folder is"
                " lost and no server uses the database, run: DELETE FROM meta WHERE key = 'folder'",
            )

    def _unusable(self, error: Exception) -> ConfigurationError:
        words = str(error).strip().partition("\n")[0] or type(error).__name__
        if self._password:
            words = words.replace(self._password, "***")
        return ConfigurationError(
            f"The PostgreSQL store cannot be used: {words}.",
            hint="Check that the server runs, and AGENT_KERNEL_STORE.",
        )

    def version(self) -> int | None:
        """Return None: only a query would tell."""
        return None

    async def purge(self) -> None:
        """Do nothing: PostgreSQL reuses the space of deleted rows after its own vacuum."""

    async def aclose(self) -> None:
        """See `Database`."""
        if self._closed:
            return
        self._closed = True

        def close() -> None:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

        await asyncio.get_running_loop().run_in_executor(self._worker, close)
        self._worker.shutdown(wait=False)


def _password(url: str) -> str:
    """Return the password in a URL. Raises `ConfigurationError` that contains no part of the URL.

    A password that is not escaped ends up in the port, the host or the database's name.
    """
    try:
        parts = {name: str(value or "") for name, value in conninfo_to_dict(url).items()}
    except psycopg.Error:
        parts = {"port": "?"}
    ports = parts.get("port", "").split(",")
    if all(port == "" or port.isdecimal() for port in ports) and "@" not in (
        parts.get("host", "") + parts.get("dbname", "")
    ):
        return parts.get("password", "")
    raise ConfigurationError(
        "AGENT_KERNEL_STORE is not a valid PostgreSQL URL.",
        hint="It has the form postgresql://USER:PASSWORD@HOST:PORT/DATABASE; escape special characters of"
        " the password as in any URL.",
    ) from None


def _in_transaction(connection: psycopg.Connection, work: Callable[[Transaction], T], alone: bool) -> T:
    if alone:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (ALONE,))
    return work(_PostgresTransaction(connection))


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
