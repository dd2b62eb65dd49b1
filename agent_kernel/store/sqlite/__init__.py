"""Rows in one SQLite file in WAL mode, which processes of one machine may share."""
