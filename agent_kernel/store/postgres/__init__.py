"""Rows in a PostgreSQL database (extra `postgres`); blobs and coordination stay in the data folder."""
