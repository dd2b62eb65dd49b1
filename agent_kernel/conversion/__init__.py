"""A conversation in other forms: for other providers, for readers, and as code that needs no agent."""
