"""Ask a person before a call runs."""
