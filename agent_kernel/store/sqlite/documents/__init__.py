"""Vector stores in a SQLite file of their own: indexing never waits for turns, nor turns for it."""
