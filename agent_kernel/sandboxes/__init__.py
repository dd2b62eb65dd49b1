"""Sandboxes: the backends that make them, and the stream into each."""
