"""The documents of a notebook: which it has, and the tool that searches them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent_kernel.runtime.base import Runtime

MOST = 500
"""Documents that a kept session remembers, newest last."""


@dataclass
class NotebookDocuments:
    """The documents that `%docs add` has added, by the id of the file, with the names of the user's files."""

    store_id: str | None = None
    names: dict[str, str] = field(default_factory=dict)

    def tools(self, *, asks: bool) -> list[dict[str, Any]]:
        """Return the entry of `tools` that searches them; none without documents.

        `asks`: the cell asks a model, and does not run the user's own command.
        """
        if not asks or self.store_id is None or not self.names:
            return []
        return [{"type": "file_search", "vector_store_ids": [self.store_id], "max_num_results": 10}]

    def to_json(self) -> dict[str, Any] | None:
        """Return what a kept session holds of them; None without any."""
        if self.store_id is None or not self.names:
            return None
        return {"store_id": self.store_id, "names": dict(list(self.names.items())[-MOST:])}


def read_documents(found: object) -> NotebookDocuments:
    """Read what `to_json` has written. Raises `TypeError`, `LookupError`."""
    if not isinstance(found, Mapping):
        return NotebookDocuments()
    names = {str(file_id): str(name) for file_id, name in dict(found["names"]).items()}
    return NotebookDocuments(str(found["store_id"]), names)


async def still_there(kept: NotebookDocuments, runtime: Runtime) -> tuple[NotebookDocuments, Sequence[str]]:
    """Return the documents that the runtime still has, and the names of those that it has no more.

    Raises what its requests raise, but not `NotFound` and `CapabilityMissing`.
    """
    from agent_kernel.errors import CapabilityMissing, NotFound
    from agent_kernel.runtime.library import KeepsLibrary

    there: set[str] = set()
    if kept.store_id is not None and isinstance(runtime, KeepsLibrary):
        try:
            found = await runtime.documents(kept.store_id)
        except (NotFound, CapabilityMissing):
            found = []
        there = {each.file_id for each in found if each.status in ("completed", "in_progress")}
    names = {file_id: name for file_id, name in kept.names.items() if file_id in there}
    lost = [name for file_id, name in kept.names.items() if file_id not in there]
    return NotebookDocuments(kept.store_id if names else None, names), lost
