"""The migrations of a PostgreSQL store's tables. `meta` records the version of a database.

The columns are those of the SQLite store. `rowid` orders rows by their arrival, as SQLite's own does.
"""

from __future__ import annotations

from psycopg import Connection

from agent_kernel.errors import ConfigurationError

MIGRATIONS = (
    """
    CREATE TABLE responses (
        id TEXT PRIMARY KEY, created_at DOUBLE PRECISION NOT NULL, status TEXT NOT NULL, model TEXT NOT NULL,
        previous_id TEXT, container_id TEXT, owner TEXT, conversation_id TEXT,
        resumed BIGINT NOT NULL DEFAULT 0, tenant TEXT NOT NULL DEFAULT '',
        request TEXT NOT NULL, input TEXT NOT NULL, response TEXT NOT NULL
    );
    CREATE INDEX responses_unfinished ON responses(owner) WHERE owner IS NOT NULL;
    CREATE TABLE deletions (count BIGINT NOT NULL);
    INSERT INTO deletions VALUES (0);
    CREATE TABLE events (
        response_id TEXT NOT NULL REFERENCES responses(id) ON DELETE CASCADE,
        number BIGINT NOT NULL, event TEXT NOT NULL, PRIMARY KEY (response_id, number)
    );
    CREATE TABLE items (
        tenant TEXT NOT NULL, id TEXT NOT NULL,
        response_id TEXT NOT NULL REFERENCES responses(id) ON DELETE CASCADE, PRIMARY KEY (id, tenant)
    );
    CREATE INDEX items_of_response ON items(response_id);
    CREATE TABLE conversations (
        id TEXT PRIMARY KEY, created_at DOUBLE PRECISION NOT NULL, metadata TEXT NOT NULL, container_id TEXT,
        tenant TEXT NOT NULL DEFAULT ''
    );
    CREATE TABLE conversation_items (
        position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        conversation_id TEXT NOT NULL REFERENCES conversations(id) ON DELETE CASCADE,
        id TEXT NOT NULL, item TEXT NOT NULL, stopped BIGINT NOT NULL DEFAULT 0,
        UNIQUE (conversation_id, id)
    );
    CREATE INDEX conversation_items_by_id ON conversation_items(id);
    CREATE TABLE files (
        id TEXT PRIMARY KEY, created_at DOUBLE PRECISION NOT NULL, filename TEXT NOT NULL,
        purpose TEXT NOT NULL, bytes BIGINT NOT NULL, expires_at DOUBLE PRECISION,
        tenant TEXT NOT NULL DEFAULT '', rowid BIGINT GENERATED ALWAYS AS IDENTITY
    );
    CREATE TABLE containers (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, backend TEXT NOT NULL, created_at DOUBLE PRECISION NOT NULL,
        last_active_at DOUBLE PRECISION NOT NULL, expires_after BIGINT NOT NULL, status TEXT NOT NULL,
        memory_limit TEXT, tenant TEXT NOT NULL DEFAULT '', rowid BIGINT GENERATED ALWAYS AS IDENTITY
    );
    CREATE TABLE uploads (
        container_id TEXT NOT NULL REFERENCES containers(id) ON DELETE CASCADE ON UPDATE CASCADE,
        path TEXT NOT NULL, PRIMARY KEY (container_id, path)
    );
    CREATE TABLE skills (
        container_id TEXT NOT NULL REFERENCES containers(id) ON DELETE CASCADE ON UPDATE CASCADE,
        name TEXT NOT NULL, description TEXT NOT NULL, path TEXT NOT NULL, digest TEXT NOT NULL,
        PRIMARY KEY (container_id, name)
    );
    CREATE TABLE keys (
        name TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, hash TEXT NOT NULL,
        created_at DOUBLE PRECISION NOT NULL, revoked_at DOUBLE PRECISION,
        turns BIGINT, containers BIGINT, stored_bytes BIGINT, requests_per_minute BIGINT
    );
    CREATE TABLE approvals (id TEXT PRIMARY KEY, response_id TEXT NOT NULL);
    """,
    """
    ALTER TABLE containers ADD COLUMN resources TEXT NOT NULL DEFAULT '{}';
    """,
    """
    ALTER TABLE containers ADD COLUMN network TEXT NOT NULL DEFAULT '{}';
    """,
    """
    CREATE TABLE places (
        list TEXT NOT NULL, id TEXT NOT NULL, tenant TEXT NOT NULL, created_at DOUBLE PRECISION NOT NULL,
        number BIGINT NOT NULL, deleted_at DOUBLE PRECISION NOT NULL, PRIMARY KEY (list, id, tenant)
    );
    CREATE INDEX places_by_age ON places(deleted_at);
    CREATE TABLE listed_files (
        container_id TEXT NOT NULL REFERENCES containers(id) ON DELETE CASCADE ON UPDATE CASCADE,
        id TEXT NOT NULL, place TEXT NOT NULL, listed_at DOUBLE PRECISION NOT NULL,
        PRIMARY KEY (container_id, id)
    );
    """,
    """
    ALTER TABLE containers ADD COLUMN sandbox TEXT NOT NULL DEFAULT '';
    """,
    """
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, created_at DOUBLE PRECISION NOT NULL,
        updated_at DOUBLE PRECISION NOT NULL,
        response_id TEXT, container_id TEXT, notebook TEXT NOT NULL, state TEXT NOT NULL,
        revision BIGINT NOT NULL, tenant TEXT NOT NULL
    );
    CREATE TABLE session_responses (
        session_id TEXT NOT NULL REFERENCES sessions(id) ON DELETE CASCADE, response_id TEXT NOT NULL,
        PRIMARY KEY (session_id, response_id)
    );
    """,
    """
    CREATE TEXT SEARCH DICTIONARY agent_kernel (TEMPLATE = pg_catalog.snowball, LANGUAGE = english);
    CREATE TEXT SEARCH CONFIGURATION agent_kernel (COPY = pg_catalog.english);
    ALTER TEXT SEARCH CONFIGURATION agent_kernel ALTER MAPPING REPLACE english_stem WITH agent_kernel;
    CREATE TABLE vector_stores (
        number BIGINT GENERATED ALWAYS AS IDENTITY, id TEXT PRIMARY KEY, created_at DOUBLE PRECISION NOT NULL,
        name TEXT NOT NULL, description TEXT, metadata TEXT NOT NULL, days BIGINT,
        last_active_at DOUBLE PRECISION NOT NULL, tenant TEXT NOT NULL
    );
    CREATE TABLE batches (
        id TEXT PRIMARY KEY, store_id TEXT NOT NULL REFERENCES vector_stores(id) ON DELETE CASCADE,
        created_at DOUBLE PRECISION NOT NULL, cancelled BIGINT NOT NULL DEFAULT 0
    );
    CREATE TABLE stored_files (
        number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        store_id TEXT NOT NULL REFERENCES vector_stores(id) ON DELETE CASCADE,
        file_id TEXT NOT NULL, created_at DOUBLE PRECISION NOT NULL, filename TEXT NOT NULL,
        attributes TEXT NOT NULL, chunk_tokens BIGINT NOT NULL, overlap_tokens BIGINT NOT NULL,
        batch_id TEXT, status TEXT NOT NULL, error_code TEXT, error TEXT, usage_bytes BIGINT NOT NULL,
        embedded_with TEXT, owner TEXT, tenant TEXT NOT NULL, UNIQUE (store_id, file_id)
    );
    CREATE INDEX stored_files_by_file ON stored_files(file_id);
    CREATE INDEX stored_files_by_status ON stored_files(status);
    CREATE TABLE chunks (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        file BIGINT NOT NULL REFERENCES stored_files(number) ON DELETE CASCADE,
        vector BYTEA, size BIGINT NOT NULL, text TEXT NOT NULL, words TSVECTOR NOT NULL
    );
    CREATE INDEX chunks_by_file ON chunks(file, id);
    CREATE INDEX chunks_by_words ON chunks USING gin(words);
    CREATE TABLE part_uploads (
        id TEXT PRIMARY KEY, created_at DOUBLE PRECISION NOT NULL, expires_at DOUBLE PRECISION NOT NULL,
        filename TEXT NOT NULL, purpose TEXT NOT NULL, bytes BIGINT NOT NULL, status TEXT NOT NULL,
        file_id TEXT, seconds BIGINT, parts TEXT NOT NULL, tenant TEXT NOT NULL
    );
    """,
    """
    CREATE TABLE kept_skills (
        id TEXT PRIMARY KEY, created_at DOUBLE PRECISION NOT NULL, default_version BIGINT NOT NULL,
        last_version BIGINT NOT NULL, versions TEXT NOT NULL, revision BIGINT NOT NULL, tenant TEXT NOT NULL
    );
    """,
    """
    CREATE TABLE peers (id TEXT PRIMARY KEY, serves BOOLEAN NOT NULL, joined_at TIMESTAMPTZ NOT NULL);
    CREATE UNLOGGED TABLE runs (one BIGINT PRIMARY KEY, seen_at TIMESTAMPTZ NOT NULL);
    CREATE TABLE blobs (id TEXT PRIMARY KEY, bytes BIGINT, begun_at TIMESTAMPTZ NOT NULL);
    CREATE TABLE blob_parts (
        blob_id TEXT NOT NULL REFERENCES blobs(id) ON DELETE CASCADE, number BIGINT NOT NULL,
        content BYTEA NOT NULL, PRIMARY KEY (blob_id, number)
    );
    ALTER TABLE blob_parts ALTER COLUMN content SET STORAGE EXTERNAL;
    """,
    """
    CREATE UNLOGGED TABLE letters (id TEXT PRIMARY KEY, body TEXT NOT NULL, sent_at TIMESTAMPTZ NOT NULL);
    """,
    """
    CREATE INDEX responses_by_age ON responses(created_at, id);
    CREATE INDEX responses_by_previous ON responses(previous_id) WHERE previous_id IS NOT NULL;
    CREATE INDEX sessions_by_response ON sessions(response_id);
    CREATE INDEX session_responses_by_response ON session_responses(response_id);
    """,
)
"""Each brings a database from version n to n + 1. A released one never changes."""


ALONE = 0x61676E74
"""The number of the advisory lock for exclusive transactions, and for migrations."""


def prepare(connection: Connection) -> None:
    """Bring a database to the newest version. Processes that start together do so once.

    A role without the right to make tables can use a database that another role has prepared. Raises
    `ConfigurationError` for a database of a newer build.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (ALONE,))
        _migrate(connection)


def _migrate(connection: Connection) -> None:
    found = connection.execute("SELECT to_regclass('meta')").fetchone()
    if found is None or found[0] is None:
        connection.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
    found = connection.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()
    version = int(found[0]) if found else 0
    if version > len(MIGRATIONS):
        raise ConfigurationError(
            f"A newer agent-kernel wrote this PostgreSQL store (format {version}; this one knows"
            f" {len(MIGRATIONS)}).",
            hint="Update agent-kernel, or name another database in AGENT_KERNEL_STORE.",
        )
    if version == len(MIGRATIONS):
        return
    for script in MIGRATIONS[version:]:
        for statement in script.split(";"):
            connection.execute(statement.encode())
    connection.execute(
        "INSERT INTO meta (key, value) VALUES ('version', %s)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (str(len(MIGRATIONS)),),
    )
