"""The tool `file_search`: passages of files in vector stores, which the answer cites."""
