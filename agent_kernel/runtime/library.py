"""Optional for a `Runtime`: the documents of a notebook, a vector store that its kernel fills."""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

KEPT_DAYS = 30
"""Days after which the documents of a notebook are deleted, the store counting from its last use."""


@dataclass(frozen=True)
class Document:
    """A document. `status` is the API's: `in_progress`, `completed`, `failed` or `cancelled`."""

    file_id: str
    status: str
    usage_bytes: int
    why: str | None = None
    """Why it failed."""


@runtime_checkable
class KeepsLibrary(Protocol):
    """A runtime with documents. Raises what the requests raise, and `CapabilityMissing` without any."""

    async def create_library(self, name: str) -> str:
        """Make an empty vector store and return its id."""
        ...

    async def add_document(self, store_id: str, filename: str, content: AsyncIterable[bytes]) -> str:
        """Upload a file, add it, and return its id. Nothing is left behind if that fails."""
        ...

    async def documents(self, store_id: str) -> Sequence[Document]:
        """Return the documents, oldest first. Raises `NotFound` if the store is gone."""
        ...

    async def document_text(self, store_id: str, file_id: str) -> Sequence[str]:
        """Return the text of a document in chunks, which overlap. Raises `NotFound` if it is gone."""
        ...

    async def remove_document(self, store_id: str, file_id: str) -> None:
        """Delete a document with its upload. Does nothing if it is gone."""
        ...
