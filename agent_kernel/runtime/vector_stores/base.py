"""Optional for a `Runtime`: vector stores, and uploads in parts.

Shapes are those of the `openai` package. All methods raise `NotFound` for an unknown id, `InvalidRequest` for
wrong `params`, and `CapabilityMissing` where the store has no vector stores.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from agent_kernel.runtime.base import Order, Page

if TYPE_CHECKING:
    from openai.types import Upload, VectorStore, VectorStoreSearchResponse
    from openai.types.uploads import UploadPart
    from openai.types.vector_stores import VectorStoreFile, VectorStoreFileBatch

Params = Mapping[str, Any]


class StoredFiles(Protocol):
    """`/v1/vector_stores/{store_id}/files`."""

    async def create(self, store_id: str, params: Params) -> VectorStoreFile:
        """Add an uploaded file. It is `in_progress` until it is indexed."""
        ...

    async def list(
        self,
        store_id: str,
        *,
        batch_id: str | None = None,
        status: str | None = None,
        after: str | None = None,
        before: str | None = None,
        limit: int = 20,
        order: Order = "desc",
    ) -> Page[VectorStoreFile]:
        """Return a page of the files, or of those of a batch."""
        ...

    async def retrieve(self, store_id: str, file_id: str) -> VectorStoreFile:
        """Return a file."""
        ...

    async def update(self, store_id: str, file_id: str, params: Params) -> VectorStoreFile:
        """Replace the `attributes` of a file."""
        ...

    async def delete(self, store_id: str, file_id: str) -> None:
        """Remove a file from the vector store. The upload stays."""
        ...

    async def content(self, store_id: str, file_id: str) -> Sequence[str]:
        """Return the text of a file that was indexed, by chunks."""
        ...


class FileBatches(Protocol):
    """`/v1/vector_stores/{store_id}/file_batches`."""

    async def create(self, store_id: str, params: Params) -> VectorStoreFileBatch:
        """Add several files at once."""
        ...

    async def retrieve(self, store_id: str, batch_id: str) -> VectorStoreFileBatch:
        """Return a batch."""
        ...

    async def cancel(self, store_id: str, batch_id: str) -> VectorStoreFileBatch:
        """Cancel the files of a batch that are not indexed yet."""
        ...


class VectorStores(Protocol):
    """`/v1/vector_stores`."""

    @property
    def files(self) -> StoredFiles:
        """The files in vector stores."""
        ...

    @property
    def file_batches(self) -> FileBatches:
        """Files that were added together."""
        ...

    async def create(self, params: Params) -> VectorStore:
        """Create a vector store, with `file_ids` if there are any."""
        ...

    async def list(
        self,
        *,
        after: str | None = None,
        before: str | None = None,
        limit: int = 20,
        order: Order = "desc",
    ) -> Page[VectorStore]:
        """Return a page of the vector stores."""
        ...

    async def retrieve(self, store_id: str) -> VectorStore:
        """Return a vector store."""
        ...

    async def update(self, store_id: str, params: Params) -> VectorStore:
        """Change `name`, `metadata` or `expires_after`."""
        ...

    async def delete(self, store_id: str) -> None:
        """Delete a vector store with its chunks. The uploads stay."""
        ...

    async def find(self, store_id: str, params: Params) -> Sequence[VectorStoreSearchResponse]:
        """Search, and return the best passages. Raises `ModelError` if embeddings cannot be had."""
        ...


class Uploads(Protocol):
    """`/v1/uploads`: a file that arrives in parts."""

    async def create(self, params: Params) -> Upload:
        """Begin an upload. It expires after an hour."""
        ...

    async def add_part(self, upload_id: str, content: AsyncIterable[bytes]) -> UploadPart:
        """Add a part of at most 64 MB. Raises `TooLarge`."""
        ...

    async def complete(self, upload_id: str, params: Params) -> Upload:
        """Make a file of the parts in `part_ids`. Raises `InvalidRequest` if size or `md5` differ."""
        ...

    async def cancel(self, upload_id: str) -> Upload:
        """Give an upload up, and delete its parts."""
        ...


@runtime_checkable
class KeepsDocuments(Protocol):
    """A runtime with vector stores."""

    @property
    def vector_stores(self) -> VectorStores:
        """The vector stores."""
        ...

    @property
    def uploads(self) -> Uploads:
        """The uploads in parts."""
        ...
