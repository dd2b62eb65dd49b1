"""The tool `apply_patch`: creates, changes and deletes text files in the container."""
