"""Audit log, metrics and traces."""
