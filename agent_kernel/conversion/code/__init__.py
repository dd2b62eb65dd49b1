"""A conversation as an ordinary notebook and script: what ran, without the agent."""
