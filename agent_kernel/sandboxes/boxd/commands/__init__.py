"""Commands in the sandbox: the shell that runs them, what they print, and their processes."""
