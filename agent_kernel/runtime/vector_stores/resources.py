"""Vector stores, their files and batches as the API shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openai.types import VectorStore
from openai.types.vector_store import ExpiresAfter, FileCounts
from openai.types.vector_stores import VectorStoreFile, VectorStoreFileBatch
from openai.types.vector_stores.vector_store_file import LastError

from agent_kernel.store.documents import BatchRow, StoredFileRow, VectorStoreRow

DAY = 24 * 3600.0
_STATUSES = ("in_progress", "completed", "failed", "cancelled")


def expires_at(row: VectorStoreRow) -> float | None:
    """Return when a vector store expires unless it is used before; None: never."""
    return None if row.days is None else row.last_active_at + row.days * DAY


def store_resource(row: VectorStoreRow, counts: Mapping[str, int], now: float) -> VectorStore:
    """Return a vector store. `counts` are those of `Documents.counts`."""
    end = expires_at(row)
    status = "in_progress" if counts.get("in_progress") else "completed"
    return VectorStore.construct(
        id=row.id,
        object="vector_store",
        created_at=int(row.created_at),
        name=row.name,
        description=row.description,
        usage_bytes=counts.get("usage_bytes", 0),
        file_counts=FileCounts.construct(**_counted(counts)),
        status="expired" if end is not None and end <= now else status,
        expires_after=None if row.days is None else ExpiresAfter(anchor="last_active_at", days=row.days),
        expires_at=None if end is None else int(end),
        last_active_at=int(row.last_active_at),
        metadata=dict(row.metadata),
    )


def file_resource(row: StoredFileRow) -> VectorStoreFile:
    """Return a file of a vector store."""
    static = {"max_chunk_size_tokens": row.chunk_tokens, "chunk_overlap_tokens": row.overlap_tokens}
    code, why = row.error_code, row.error
    error = LastError.construct(code=code, message=why) if code is not None else None
    return VectorStoreFile.construct(
        id=row.file_id,
        object="vector_store.file",
        created_at=int(row.created_at),
        vector_store_id=row.store_id,
        status=row.status,
        last_error=error,
        usage_bytes=row.usage_bytes,
        attributes=dict(row.attributes),
        chunking_strategy={"type": "static", "static": static},
    )


def batch_resource(row: BatchRow, counts: Mapping[str, int]) -> VectorStoreFileBatch:
    """Return a batch."""
    status = "in_progress" if counts.get("in_progress") else "cancelled" if row.cancelled else "completed"
    return VectorStoreFileBatch.construct(
        id=row.id,
        object="vector_store.files_batch",
        created_at=int(row.created_at),
        vector_store_id=row.store_id,
        status=status,
        file_counts=FileCounts.construct(**_counted(counts)),
    )


def _counted(counts: Mapping[str, int]) -> dict[str, Any]:
    found = {name: counts.get(name, 0) for name in _STATUSES}
    return {**found, "total": sum(found.values())}
