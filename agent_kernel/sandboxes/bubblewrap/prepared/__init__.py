"""A parent process that is ready to become a sandbox: its forks need neither bwrap nor a new Python."""
