"""Where commands run: backends that make sandboxes, and the stream into them."""
