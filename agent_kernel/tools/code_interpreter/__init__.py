"""The tool `code_interpreter`: Python in a session that keeps its variables from call to call."""
