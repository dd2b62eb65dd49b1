"""Complete deletion of sessions: what belongs to one, its removal, and the search for what is left."""
