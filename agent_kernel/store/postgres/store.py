"""The store in a PostgreSQL database, for servers on any number of hosts."""

from __future__ import annotations

from pathlib import Path

from agent_kernel.errors import ConfigurationError
from agent_kernel.store.base import Store
from agent_kernel.store.sql.rows import SqlRows


def open_postgres(url: str, folder: Path) -> Store:
    """Return a store of a PostgreSQL URL; nothing is opened before first use.

    `folder` is this machine's data folder, where older versions kept blobs. Raises `ConfigurationError` for
    a URL that PostgreSQL does not understand, or without the extra `postgres`.
    """
    try:
        from agent_kernel.store.postgres.blobs import OlderFiles, PostgresBlobs
        from agent_kernel.store.postgres.connecting import DatabaseAddress
        from agent_kernel.store.postgres.coordination import PostgresCoordination
        from agent_kernel.store.postgres.database import Membership, PostgresDatabase
        from agent_kernel.store.postgres.documents import PostgresDocuments
    except ImportError as error:
        raise ConfigurationError(
            "A PostgreSQL store needs psycopg.", hint='pip install "jupyter-agent-kernel[postgres]"'
        ) from error

    address, membership = DatabaseAddress(url), Membership()
    # Files have connections of their own: indexing and uploads never wait for turns, nor turns for them.
    files = PostgresDatabase(address, membership)
    return Store(
        SqlRows(PostgresDatabase(address, membership)),
        PostgresBlobs(files, OlderFiles(folder)),
        PostgresCoordination(address, membership),
        PostgresDocuments(files),
    )
