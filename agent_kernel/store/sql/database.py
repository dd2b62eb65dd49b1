"""The database interface that the statements of this folder use.

Statements are written in the subset that SQLite and PostgreSQL share: `?` for values, `ON CONFLICT`,
recursive queries, JSON as text. So one text serves both, without a layer that builds SQL at run time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, Self, TypeVar

T = TypeVar("T")

Values = Sequence[str | int | float | bytes | None]

MINE = "tenant = coalesce(?, tenant)"
"""Bound to a tenant: rows of this tenant. Bound to None: all rows."""


class Cursor(Protocol):
    """The result of one statement."""

    @property
    def rowcount(self) -> int:
        """The number of rows that the statement changed."""
        ...

    def fetchone(self) -> Any:
        """Return the next row as a tuple, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """Return all rows as tuples."""
        ...


class Transaction(Protocol):
    """A connection inside a transaction."""

    def execute(self, query: str, values: Values = (), /) -> Cursor:
        """Run one statement."""
        ...

    def executemany(self, query: str, rows: Iterable[Values], /) -> object:
        """Run one statement for every row of values."""
        ...


class Database(Protocol):
    """Runs functions in transactions, off the event loop."""

    async def do(self, work: Callable[[Transaction], T], *, alone: bool = False, reads: bool = False) -> T:
        """Run `work` in one transaction. Cancelling the wait does not undo the work.

        With `alone` no other transaction of this kind runs meanwhile, in any process: what `work` reads stays
        true until it has written. Work that only `reads` may overtake other work; the rest keeps its order.
        Raises `ConfigurationError` if the database cannot be used.
        """
        ...

    def version(self) -> int | None:
        """Return a number that each commit by any connection replaces; None if that needs a wait."""
        ...

    async def purge(self) -> None:
        """Make deleted rows unreadable in the database's files, as far as the database can."""
        ...

    async def aclose(self) -> None:
        """Finish pending work and disconnect. Idempotent."""
        ...


class SqlPart:
    """One kind of rows in a database, limited to those of `tenant`; None: all."""

    def __init__(self, database: Database, tenant: str | None = None) -> None:
        self._database = database
        self.tenant = tenant

    def of(self, tenant: str) -> Self:
        """See `Rows`."""
        return type(self)(self._database, tenant)

    async def _do(self, work: Callable[[Transaction], T], *, alone: bool = False) -> T:
        return await self._database.do(work, alone=alone)

    async def _change(self, query: str, values: Values) -> bool:
        """Run one statement and return whether it changed a row."""
        return await self._do(lambda db: db.execute(query, values).rowcount > 0)

    async def _delete(self, query: str, values: Values) -> bool:
        """Delete rows for good and return whether there were any."""
        deleted = await self._change(query, values)
        if deleted:
            await self._database.purge()
        return deleted

    async def _one(self, query: str, values: Values) -> Any:
        return await self._database.do(lambda db: db.execute(query, values).fetchone(), reads=True)

    async def _all(self, query: str, values: Values) -> list[Any]:
        return await self._database.do(lambda db: db.execute(query, values).fetchall(), reads=True)
