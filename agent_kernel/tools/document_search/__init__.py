"""Search in vector stores, as the tool `file_search` and the endpoints ask for it."""
