"""The `shell` tool: commands in the container, or at the client."""
