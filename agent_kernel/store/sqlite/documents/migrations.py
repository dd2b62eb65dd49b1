"""The format of the file with the vector stores."""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE vector_stores (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, created_at REAL NOT NULL,
        name TEXT NOT NULL, description TEXT, metadata TEXT NOT NULL, days INTEGER,
        last_active_at REAL NOT NULL, tenant TEXT NOT NULL, untidy INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE batches (
        id TEXT PRIMARY KEY, store_id TEXT NOT NULL REFERENCES vector_stores(id) ON DELETE CASCADE,
        created_at REAL NOT NULL, cancelled INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;
    CREATE TABLE stored_files (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        store_id TEXT NOT NULL REFERENCES vector_stores(id) ON DELETE CASCADE,
        file_id TEXT NOT NULL, created_at REAL NOT NULL, filename TEXT NOT NULL, attributes TEXT NOT NULL,
        chunk_tokens INTEGER NOT NULL, overlap_tokens INTEGER NOT NULL, batch_id TEXT, status TEXT NOT NULL,
        error_code TEXT, error TEXT, usage_bytes INTEGER NOT NULL, embedded_with TEXT, owner TEXT,
        tenant TEXT NOT NULL, UNIQUE (store_id, file_id)
    );
    CREATE INDEX stored_files_by_file ON stored_files(file_id);
    CREATE INDEX stored_files_by_status ON stored_files(status);
    CREATE TABLE chunks (
        id INTEGER PRIMARY KEY AUTOINCREMENT, file INTEGER NOT NULL, vector BLOB
    );
    CREATE INDEX chunks_by_file ON chunks(file);
    CREATE TABLE uploads (
        id TEXT PRIMARY KEY, created_at REAL NOT NULL, expires_at REAL NOT NULL, filename TEXT NOT NULL,
        purpose TEXT NOT NULL, bytes INTEGER NOT NULL, status TEXT NOT NULL, file_id TEXT, seconds INTEGER,
        parts TEXT NOT NULL, tenant TEXT NOT NULL
    );
    """,
)
"""Each brings a file from version n to n + 1. A released one never changes.

The words of a vector store's chunks are in a table of its own, `words_N`, made and dropped with it: bm25 then
counts only this store's words, and the scores of one key say nothing of another's files.
"""
