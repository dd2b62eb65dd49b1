"""The migrations of a SQLite store's tables. `PRAGMA user_version` is the version of a file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from agent_kernel.errors import ConfigurationError

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
    """
    CREATE TABLE uploads_renamed (
        container_id TEXT NOT NULL REFERENCES containers(id) ON DELETE CASCADE ON UPDATE CASCADE,
        path TEXT NOT NULL, PRIMARY KEY (container_id, path)
    );
    INSERT INTO uploads_renamed SELECT container_id, path FROM uploads;
    DROP TABLE uploads;
    ALTER TABLE uploads_renamed RENAME TO uploads;
    """,
    """
    ALTER TABLE containers ADD COLUMN resources TEXT NOT NULL DEFAULT '{}';
    """,
    """
    ALTER TABLE containers ADD COLUMN network TEXT NOT NULL DEFAULT '{}';
    """,
    """
    CREATE TABLE places (
        list TEXT NOT NULL, id TEXT NOT NULL, tenant TEXT NOT NULL, created_at REAL NOT NULL,
        number INTEGER NOT NULL, deleted_at REAL NOT NULL, PRIMARY KEY (list, id, tenant)
    ) WITHOUT ROWID;
    CREATE INDEX places_by_age ON places(deleted_at);
    CREATE TABLE listed_files (
        container_id TEXT NOT NULL REFERENCES containers(id) ON DELETE CASCADE ON UPDATE CASCADE,
        id TEXT NOT NULL, place TEXT NOT NULL, listed_at REAL NOT NULL, PRIMARY KEY (container_id, id)
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE containers ADD COLUMN sandbox TEXT NOT NULL DEFAULT '';
    """,
    """
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, created_at REAL NOT NULL, updated_at REAL NOT NULL,
        response_id TEXT, container_id TEXT, notebook TEXT NOT NULL, state TEXT NOT NULL,
        revision INTEGER NOT NULL, tenant TEXT NOT NULL
    );
    CREATE TABLE session_responses (
        session_id TEXT NOT NULL REFERENCES sessions(id) ON DELETE CASCADE, response_id TEXT NOT NULL,
        PRIMARY KEY (session_id, response_id)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE kept_skills (
        id TEXT PRIMARY KEY, created_at REAL NOT NULL, default_version INTEGER NOT NULL,
        last_version INTEGER NOT NULL, versions TEXT NOT NULL, revision INTEGER NOT NULL, tenant TEXT NOT NULL
    );
    """,
    """
    CREATE INDEX responses_by_age ON responses(created_at, id);
    CREATE INDEX responses_by_previous ON responses(previous_id) WHERE previous_id IS NOT NULL;
    CREATE INDEX sessions_by_response ON sessions(response_id);
    CREATE INDEX session_responses_by_response ON session_responses(response_id);
    """,
)
"""Each brings a file from version n to n + 1. A released one never changes."""


def migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Bring a file to the newest version. Raises `ConfigurationError` for a file of a newer build."""
    connection.execute("BEGIN IMMEDIATE")  # two processes that start together migrate once
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(migrations):
        raise ConfigurationError(
            f"A newer agent-kernel wrote the store at {path} (format {version}; this one knows"
            f" {len(migrations)}).",
            hint="Update agent-kernel, or point AGENT_KERNEL_DATA_DIR at another folder.",
        )
    for script in migrations[version:]:
        for statement in script.split(";"):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {len(migrations)}")
    connection.commit()
