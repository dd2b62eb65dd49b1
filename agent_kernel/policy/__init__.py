"""Rules that decide which commands need approval."""
