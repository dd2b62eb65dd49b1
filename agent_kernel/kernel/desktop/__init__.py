"""The desktop of a notebook's container, watched and taken over by the user."""
