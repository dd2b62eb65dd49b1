"""The files that a turn wrote, as a notebook shows them."""
