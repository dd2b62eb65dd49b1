"""One turn, from the request to the last event."""
