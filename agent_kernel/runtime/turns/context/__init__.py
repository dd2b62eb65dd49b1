"""Keeps the requests of a turn within the model's context window."""
