"""Tells what changed in the workspace, for `%diff`: git compares repositories, this program other files."""
