"""The Python session of the notebook's container, shared by the agent and the user."""
