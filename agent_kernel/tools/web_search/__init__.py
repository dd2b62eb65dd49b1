"""The tool `web_search`: search, opened pages and text found in them, which the answer cites."""
