"""Sandboxes by bubblewrap, without a daemon."""
