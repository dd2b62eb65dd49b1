"""Items as notebook outputs."""
