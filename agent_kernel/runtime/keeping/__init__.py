"""Kept sessions of the local runtime."""
