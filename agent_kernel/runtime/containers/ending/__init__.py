"""The end of containers: expiry, and death from outside."""
