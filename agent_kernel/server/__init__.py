"""The HTTP skin over a runtime: the same API, spoken over HTTP."""
