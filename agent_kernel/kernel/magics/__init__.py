"""Lines that begin with %."""
