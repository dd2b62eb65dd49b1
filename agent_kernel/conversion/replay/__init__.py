"""The user's turns of a conversation with other models, side by side."""
