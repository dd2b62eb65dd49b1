"""The live view of a running turn."""
