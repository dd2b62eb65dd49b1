"""Files between host and container."""
