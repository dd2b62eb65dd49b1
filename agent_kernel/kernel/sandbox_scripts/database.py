"""Read SQLite databases: the first table, read-only, within the time given."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, List
from urllib.parse import quote

from agent_kernel.kernel.sandbox_scripts.summary import CELL, Json, Limit, Unreadable, names_of, summary

if TYPE_CHECKING:
    from collections.abc import Iterator

_TABLES = (
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' "
    "AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY rowid LIMIT 1000"
)


def read(path: str) -> Json:
    """Return the description of the first table. Raises `Unreadable`."""
    limit = Limit()
    connection = sqlite3.connect("file:%s?mode=ro&immutable=1" % quote(path), uri=True)
    try:
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        connection.set_progress_handler(lambda: limit.passed, 100_000)
        names: List[str] = [name for (name,) in connection.execute(_TABLES)]
        if not names:
            raise Unreadable("it has no tables")
        chosen = '"%s"' % names[0].replace('"', '""')
        rows = connection.execute("SELECT * FROM %s" % chosen)  # noqa: S608 (quoted)
        header = [column[0] for column in rows.description]
        notes = [names_of(names, "tables")] if len(names) > 1 else []
        return summary(header, _rows(rows), notes, limit)
    except sqlite3.Error as error:
        raise Unreadable("SQLite cannot read it (%s)" % str(error)[:CELL]) from error
    finally:
        connection.close()


def _rows(cursor: sqlite3.Cursor) -> Iterator[List[object]]:
    for row in cursor:
        yield [value if not isinstance(value, bytes) else "(%d bytes)" % len(value) for value in row]
