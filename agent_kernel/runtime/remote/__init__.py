"""A Responses API elsewhere, over HTTP."""
