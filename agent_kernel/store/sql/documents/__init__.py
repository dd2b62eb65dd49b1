"""Vector stores in any SQL database; each database keeps texts and words in its own way."""
