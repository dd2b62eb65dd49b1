"""The tool `tool_search`: a model finds tools with `defer_loading` before it may call them."""
