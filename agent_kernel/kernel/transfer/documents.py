"""The documents of a notebook: which it has, and the tool that searches them."""

from __future__ import annotations

from typing import Any


class NotebookDocuments:
    """The documents that `%docs add` has added, by the id of the file, with the names of the user's files."""

    def __init__(self) -> None:
        self.store_id: str | None = None
        self.names: dict[str, str] = {}

    def tools(self, *, asks: bool) -> list[dict[str, Any]]:
        """Return the entry of `tools` that searches them; none without documents.

        `asks`: the cell asks a model, and does not run the user's own command.
        """
        if not asks or self.store_id is None or not self.names:
            return []
        return [{"type": "file_search", "vector_store_ids": [self.store_id], "max_num_results": 10}]
