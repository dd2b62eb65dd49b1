"""The contract for vector stores: their files, the chunks of those, and the search in them.

It is optional: a `Store` without it has no vector stores, and says so. Texts and vectors are kept here, the
bytes of files in `Blobs`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Json = Mapping[str, Any]

FileStatus = Literal["in_progress", "completed", "failed", "cancelled"]


@dataclass(frozen=True)
class VectorStoreRow:
    """A vector store. Times are Unix seconds. `days`: it expires so long after its last use; None: never."""

    id: str
    created_at: float
    name: str
    description: str | None
    metadata: Json
    days: int | None
    last_active_at: float
    tenant: str = ""


@dataclass(frozen=True)
class StoredFileRow:
    """A file in a vector store. `file_id` is that of the upload."""

    store_id: str
    file_id: str
    created_at: float
    filename: str
    attributes: Json = field(default_factory=dict)
    chunk_tokens: int = 800
    overlap_tokens: int = 400
    batch_id: str | None = None
    status: FileStatus = "in_progress"
    error_code: str | None = None
    error: str | None = None
    usage_bytes: int = 0
    embedded_with: str | None = None
    """The embedding model of its vectors; None: it has none."""
    owner: str | None = None
    """The process that indexes it."""
    tenant: str = ""
    number: int = 0
    """Its place in the order of creation. The store of rows assigns it."""

    @property
    def id(self) -> str:
        """What lists know it by."""
        return self.file_id


@dataclass(frozen=True)
class BatchRow:
    """Files that were added together."""

    id: str
    store_id: str
    created_at: float
    cancelled: bool = False


@dataclass(frozen=True)
class UploadRow:
    """A file that arrives in parts. `parts` are their ids in order of arrival, with their sizes in bytes."""

    id: str
    created_at: float
    expires_at: float
    filename: str
    purpose: str
    bytes: int
    status: Literal["pending", "completed", "cancelled"] = "pending"
    file_id: str | None = None
    seconds: int | None = None
    """`expires_after` of the file that it becomes."""
    parts: Mapping[str, int] = field(default_factory=dict)
    tenant: str = ""


@dataclass(frozen=True)
class Hit:
    """A chunk that was found. `score`: greater is better; only hits of one method can be compared."""

    chunk: int
    file: int
    text: str
    score: float


class VectorStoreRows(Protocol):
    """Vector stores."""

    async def put_store(self, row: VectorStoreRow) -> None:
        """Insert a vector store, or replace all but creation and tenant of the one with this id."""
        ...

    async def store(self, id: str) -> VectorStoreRow | None:  # noqa: A002
        """Return one vector store, or None."""
        ...

    async def stores(self) -> list[VectorStoreRow]:
        """Return all vector stores, oldest first."""
        ...

    async def touch_stores(self, ids: Collection[str], when: float) -> None:
        """Record that these were used."""
        ...

    async def delete_store(self, id: str) -> bool:  # noqa: A002
        """Delete a vector store with its files and chunks. Return whether it was there."""
        ...


class StoredFileRows(Protocol):
    """The files in vector stores, and the batches that they came in."""

    async def add_files(self, rows: Sequence[StoredFileRow], batch: BatchRow | None = None) -> None:
        """Insert files, all or none, each in place of the one with its ids."""
        ...

    async def stored_file(self, store_id: str, file_id: str) -> StoredFileRow | None:
        """Return one file of a vector store, or None."""
        ...

    async def stored_files(self, store_id: str, batch_id: str | None = None) -> list[StoredFileRow]:
        """Return the files of a vector store, or of one batch, oldest first."""
        ...

    async def counts(self, store_id: str, batch_id: str | None = None) -> Mapping[str, int]:
        """Return how many files have each status, and the `usage_bytes` of all."""
        ...

    async def set_attributes(self, store_id: str, file_id: str, attributes: Json) -> bool:
        """Replace a file's attributes. Return whether the file was there."""
        ...

    async def delete_stored_file(self, store_id: str, file_id: str) -> bool:
        """Delete a file of a vector store with its chunks. Return whether it was there."""
        ...

    async def forget_file(self, file_id: str) -> None:
        """Delete an upload's chunks from all vector stores."""
        ...

    async def batch(self, id: str) -> BatchRow | None:  # noqa: A002
        """Return one batch, or None."""
        ...

    async def cancel_batch(self, id: str) -> None:  # noqa: A002
        """Cancel a batch and those of its files that are in progress."""
        ...


class ChunkRows(Protocol):
    """The chunks of files, while they are made and searched."""

    async def pending_files(self) -> list[StoredFileRow]:
        """Return the files in progress, oldest first."""
        ...

    async def adopt_file(self, row: StoredFileRow, owner: str) -> bool:
        """Change the owner of a file in progress and delete its chunks; False if it has changed meanwhile.

        Of several processes that try at once, one succeeds.
        """
        ...

    async def add_chunks(
        self, row: StoredFileRow, texts: Sequence[str], vectors: Sequence[bytes] | None
    ) -> bool:
        """Append chunks to a file in progress. Return False if it is not in progress any more.

        `vectors` has, for each chunk, the vectors of its passages, joined.
        """
        ...

    async def end_file(
        self,
        row: StoredFileRow,
        status: FileStatus,
        *,
        error: tuple[str, str] | None = None,
        usage_bytes: int = 0,
        embedded_with: str | None = None,
    ) -> None:
        """Set how a file in progress ended, if it still is. A failed one has no chunks."""
        ...

    def chunk_texts(self, row: StoredFileRow) -> AsyncGenerator[str, None]:
        """Yield the chunks of a file in order. Close the generator when done."""
        ...

    async def find_words(
        self, store_id: str, words: Sequence[str], files: Collection[int] | None, limit: int
    ) -> list[Hit]:
        """Return the best chunks that have one of these words, by bm25, best first.

        `files`: only chunks of these, by number; None: of all. Words match other forms of themselves.
        """
        ...

    async def find_vectors(
        self, store_id: str, vector: bytes, model: str, files: Collection[int] | None, limit: int
    ) -> list[Hit]:
        """Return the chunks whose nearest passage by cosine is the best, best first.

        Only vectors made by `model` are compared.
        """
        ...

    async def tidy(self) -> None:
        """Make deleted chunks unreadable, as far as the store can. May take seconds."""
        ...


class UploadRows(Protocol):
    """Uploads in parts. `Blobs` keeps the bytes."""

    async def put_upload(self, row: UploadRow, was: str | None = None) -> bool:
        """Insert an upload, or with `was` replace the one that has this status. Return whether it did."""
        ...

    async def upload(self, id: str) -> UploadRow | None:  # noqa: A002
        """Return one upload, or None."""
        ...

    async def add_part(self, id: str, part_id: str, size: int, most: int) -> bool:  # noqa: A002
        """Append a part to a pending upload; False if it is not pending or would exceed `most` bytes."""
        ...

    async def uploads(self) -> list[UploadRow]:
        """Return all uploads."""
        ...

    async def delete_upload(self, id: str) -> None:  # noqa: A002
        """Delete an upload's row."""
        ...


class Documents(VectorStoreRows, StoredFileRows, ChunkRows, UploadRows, Protocol):
    """Vector stores and uploads. `of(tenant)`, errors and cancellation are as in `Rows`."""

    @property
    def tenant(self) -> str | None:
        """The tenant whose rows these are; None: all."""
        ...

    def of(self, tenant: str) -> Documents:
        """Return one tenant's view. Closing any view closes all."""
        ...

    async def aclose(self) -> None:
        """Finish pending calls and release the files. Idempotent."""
        ...
