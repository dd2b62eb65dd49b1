"""The embedded store: rows in a SQLite file, blobs and coordination in the folder around it."""

from __future__ import annotations

from pathlib import Path

from agent_kernel.store.base import Store
from agent_kernel.store.folder.blobs import FolderBlobs
from agent_kernel.store.folder.coordination import FolderCoordination
from agent_kernel.store.sql.rows import SqlRows
from agent_kernel.store.sqlite.database import SqliteDatabase
from agent_kernel.store.sqlite.documents.documents import sqlite_documents

FILE = "store.sqlite"


class SqliteRows(SqlRows):
    """See `Rows`."""

    async def claim_sandboxes(self, place: str) -> str:
        """Return the place: the file and the sandboxes are in one folder, wherever it was moved to."""
        return place


def sqlite_rows(path: Path) -> SqlRows:
    """Return the rows in one file; it is opened on first use."""
    return SqliteRows(SqliteDatabase(path))


def open_sqlite(url: str, folder: Path) -> Store:
    """Return the embedded store of a folder. See `catalogue.Factory`."""
    return sqlite_store(folder)


def sqlite_store(folder: Path) -> Store:
    """Return the embedded store of a folder; nothing is made before first use."""
    return Store(
        sqlite_rows(folder / FILE),
        FolderBlobs(folder / "files"),
        FolderCoordination(folder),
        sqlite_documents(folder),
    )
