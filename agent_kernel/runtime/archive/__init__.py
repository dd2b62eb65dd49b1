"""Archives of sessions: written from a store and its sandboxes, and read back on another machine."""
