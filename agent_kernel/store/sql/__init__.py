"""Rows in any SQL database: one set of statements for SQLite and PostgreSQL."""
