"""Questions to the person at the notebook."""
