"""The store with rows in PostgreSQL, for servers of one machine that share a data folder."""

from __future__ import annotations

from pathlib import Path

from agent_kernel.errors import ConfigurationError
from agent_kernel.store.base import Store
from agent_kernel.store.folder.blobs import FolderBlobs
from agent_kernel.store.folder.coordination import FolderCoordination
from agent_kernel.store.folder.identity import folder_id
from agent_kernel.store.sql.rows import SqlRows


def open_postgres(url: str, folder: Path) -> Store:
    """Return a store of a PostgreSQL URL and a data folder; nothing is opened before first use.

    Raises `ConfigurationError` for a URL that PostgreSQL does not understand, or without the extra
    `postgres`.
    """
    try:
        from agent_kernel.store.postgres.database import PostgresDatabase
        from agent_kernel.store.postgres.documents import PostgresDocuments
    except ImportError as error:
        raise ConfigurationError(
            "A PostgreSQL store needs psycopg.", hint='pip install "jupyter-agent-kernel[postgres]"'
        ) from error

    def database() -> PostgresDatabase:
        return PostgresDatabase(url, lambda: folder_id(folder))

    # Documents have a connection of their own: indexing never waits for turns, nor turns for it.
    documents = PostgresDocuments(database())
    blobs, coordination = FolderBlobs(folder / "files"), FolderCoordination(folder)
    return Store(SqlRows(database()), blobs, coordination, documents)
