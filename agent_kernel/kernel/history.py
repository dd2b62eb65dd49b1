"""The history of executed cells, for the arrow keys of consoles. A file keeps it across kernels.

Sessions are numbered from 1; a session is one kernel process. If the file cannot be used, the history is
kept in memory and ends with the kernel. SQLite is loaded at the first use: no kernel needs it to start.
"""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3

log = logging.getLogger(__name__)

KEPT = 10_000
"""The number of cells kept in the file; older ones are deleted."""

_TABLES = """
CREATE TABLE IF NOT EXISTS cells (
  id INTEGER PRIMARY KEY, session INTEGER NOT NULL, line INTEGER NOT NULL, source TEXT NOT NULL, output TEXT
)
"""

Row = tuple[int, int, str, str | None]
"""Session, line, source, and the text of the cell's result."""


class CellHistory:
    """The history in the file at `path`, or in memory if None. Opened at the first use, in a thread."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._database: sqlite3.Connection | None = None
        self._session = 0
        self._lock = asyncio.Lock()

    async def add(self, line: int, source: str, output: str | None) -> None:
        """Record an executed cell. Errors are logged, not raised: the cell itself succeeded."""
        import sqlite3

        async with self._lock:
            try:
                await asyncio.to_thread(self._add, line, source, output)
            except sqlite3.Error:
                log.warning("The history could not be written.", exc_info=True)

    async def find(self, asked: Mapping[str, Any]) -> list[Row]:
        """Return the rows for a `history_request`, oldest first; none for an unknown access type."""
        import sqlite3

        async with self._lock:
            try:
                return await asyncio.to_thread(self._find, asked)
            except sqlite3.Error:
                log.warning("The history could not be read.", exc_info=True)
                return []

    def close(self) -> None:
        """Close the file. Idempotent."""
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def _opened(self) -> sqlite3.Connection:
        import sqlite3

        if self._database is None:
            try:
                self._database = self._open(self._path)
            except (sqlite3.Error, OSError):
                log.warning("The history's file cannot be used.", exc_info=True)
                self._database = self._open(None)
            with self._database:
                last = self._database.execute("SELECT max(session) FROM cells").fetchone()[0]
                self._session = (last or 0) + 1
        return self._database

    @staticmethod
    def _open(path: Path | None) -> sqlite3.Connection:
        import sqlite3

        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
        database = sqlite3.connect(path or ":memory:", timeout=5, check_same_thread=False)
        with contextlib.suppress(sqlite3.OperationalError):  # another process may be opening it too
            database.execute("PRAGMA journal_mode=WAL")
        with database:
            database.execute(_TABLES)
            database.execute("DELETE FROM cells WHERE id <= (SELECT max(id) FROM cells) - ?", (KEPT,))
        return database

    def _add(self, line: int, source: str, output: str | None) -> None:
        database = self._opened()
        with database:
            database.execute(
                "INSERT INTO cells (session, line, source, output) VALUES (?, ?, ?, ?)",
                (self._session, line, source.encode("utf-8", "replace").decode(), output),
            )

    def _find(self, asked: Mapping[str, Any]) -> list[Row]:
        database = self._opened()
        kind, n = asked.get("hist_access_type"), asked.get("n")
        if kind == "range":
            session = int(asked.get("session") or 0)
            if session <= 0:  # as in IPython, 0 is the current session, -1 the one before
                session += self._session
            start, stop = int(asked.get("start") or 0), asked.get("stop")
            query = (
                "SELECT session, line, source, output FROM cells WHERE session = ? AND line >= ? AND line < ?"
            )
            end = int(stop) if stop is not None else 1 << 62
            return database.execute(f"{query} ORDER BY id", (session, start, end)).fetchall()
        newest = database.execute(
            "SELECT session, line, source, output FROM cells ORDER BY id DESC"
        ).fetchall()
        if kind == "search":
            pattern = str(asked.get("pattern") or "*")
            newest = [row for row in newest if fnmatch.fnmatchcase(row[2], pattern)]
            if asked.get("unique"):
                newest = list({row[2]: row for row in reversed(newest)}.values())[::-1]
        elif kind != "tail":
            return []
        return newest[: int(n)][::-1] if n is not None else newest[::-1]
