"""Sandboxes for frameworks of other projects. Each module needs the extra of its name."""
