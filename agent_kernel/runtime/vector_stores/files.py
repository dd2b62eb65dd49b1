"""The files in vector stores (`/v1/vector_stores/{id}/files`) of one tenant."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from openai.types.vector_stores import VectorStoreFile

from agent_kernel.errors import InvalidRequest, NotFound
from agent_kernel.protocol.validation import check, shortened
from agent_kernel.runtime.base import Order, Page
from agent_kernel.runtime.paging import Asked, Identified, after, unknown
from agent_kernel.runtime.uploads.uploaded_files import LocalFiles
from agent_kernel.runtime.vector_stores.base import Params
from agent_kernel.runtime.vector_stores.chunking import read_chunking
from agent_kernel.runtime.vector_stores.indexing import Indexer
from agent_kernel.runtime.vector_stores.resources import file_resource
from agent_kernel.store.documents import Documents, StoredFileRow, VectorStoreRow

STATUSES = ("in_progress", "completed", "failed", "cancelled")

StoreRow = Callable[[str], Awaitable[VectorStoreRow]]
"""Returns a vector store's row. Raises `NotFound`."""

R = TypeVar("R", bound=Identified)


class LocalStoredFiles:
    """See `StoredFiles`."""

    def __init__(self, documents: Documents, files: LocalFiles, indexer: Indexer, store: StoreRow) -> None:
        self._rows = documents
        self._uploads = files
        self._indexer = indexer
        self._store = store

    async def create(self, store_id: str, params: Params) -> VectorStoreFile:
        """See `StoredFiles`."""
        check("VectorStoreFileCreateParams", params)
        await self._store(store_id)
        (row,) = await added_rows(store_id, [params], self._uploads, self._indexer.owner)
        await self._rows.add_files([row])
        self._indexer.wake()
        return file_resource(row)

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
        """See `StoredFiles`."""
        await self._store(store_id)
        if status is not None and status not in STATUSES:
            raise InvalidRequest(f"filter must be one of {', '.join(STATUSES)}.", param="filter")
        rows = await self._rows.stored_files(store_id, batch_id)
        found = page_of(rows, after, before, limit, order, lambda row: status in (None, row.status))
        return Page([file_resource(row) for row in found.data], found.has_more)

    async def retrieve(self, store_id: str, file_id: str) -> VectorStoreFile:
        """See `StoredFiles`."""
        return file_resource(await self._row(store_id, file_id))

    async def update(self, store_id: str, file_id: str, params: Params) -> VectorStoreFile:
        """See `StoredFiles`."""
        check("VectorStoreFileUpdateParams", params)
        await self._row(store_id, file_id)
        await self._rows.set_attributes(store_id, file_id, params["attributes"] or {})
        return await self.retrieve(store_id, file_id)

    async def delete(self, store_id: str, file_id: str) -> None:
        """See `StoredFiles`."""
        await self._row(store_id, file_id)
        await self._rows.delete_stored_file(store_id, file_id)
        self._indexer.wake()

    async def content(self, store_id: str, file_id: str) -> Sequence[str]:
        """See `StoredFiles`."""
        row = await self._row(store_id, file_id)
        async with aclosing(self._rows.chunk_texts(row)) as texts:
            return [text async for text in texts]

    async def _row(self, store_id: str, file_id: str) -> StoredFileRow:
        await self._store(store_id)
        row = await self._rows.stored_file(store_id, file_id)
        if row is None:
            raise NotFound(
                f"There is no file {shortened(file_id)} in the vector store {store_id}.", param="file_id"
            )
        return row


async def added_rows(
    store_id: str,
    given: Sequence[Mapping[str, Any]],
    uploads: LocalFiles,
    owner: str,
    defaults: Mapping[str, Any] | None = None,
    batch_id: str | None = None,
) -> list[StoredFileRow]:
    """Return the rows of files that a request adds. Raises `NotFound`, `InvalidRequest`.

    `defaults` has the `attributes` and the `chunking_strategy` of those that bring none.
    """
    now, found = time.time(), {}
    for each in given:
        asked = {**(defaults or {}), **{name: value for name, value in each.items() if value is not None}}
        chunking = read_chunking(asked.get("chunking_strategy"))
        file = await uploads.retrieve(each["file_id"])
        found[file.id] = StoredFileRow(
            store_id,
            file.id,
            now,
            file.filename,
            asked.get("attributes") or {},
            chunking.size,
            chunking.overlap,
            batch_id,
            owner=owner,
        )
    return list(found.values())


def page_of(
    ascending: Sequence[R],
    after_id: str | None,
    before_id: str | None,
    limit: int,
    order: Order,
    shown: Callable[[R], bool] = lambda _: True,
) -> Page[R]:
    """Return the page after or before an entry. Raises `InvalidRequest` for one that is not in the list."""
    Asked(after_id, limit, order)
    rows = list(after(ascending, order, None))
    places = {row.id: place for place, row in enumerate(rows)}
    for cursor in (after_id, before_id):
        if cursor is not None and cursor not in places:
            raise unknown(cursor)
    start = 0 if after_id is None else places[after_id] + 1
    end = len(rows) if before_id is None else places[before_id]
    found = [row for row in rows[start:end] if shown(row)]
    data = found[-limit:] if before_id is not None and after_id is None else found[:limit]
    return Page(data, has_more=len(found) > limit)
