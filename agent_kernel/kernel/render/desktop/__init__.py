"""Items of the tool `computer` in notebooks."""
