"""Vector stores: files are made into chunks of text, which are searched by words and by vectors."""
