"""Files that are added to a vector store together (`/v1/vector_stores/{id}/file_batches`)."""

from __future__ import annotations

import time

from openai.types.vector_stores import VectorStoreFileBatch

from agent_kernel.errors import InvalidRequest, NotFound
from agent_kernel.protocol import ids
from agent_kernel.protocol.validation import check, shortened
from agent_kernel.runtime.uploads.uploaded_files import LocalFiles
from agent_kernel.runtime.vector_stores.base import Params
from agent_kernel.runtime.vector_stores.files import StoreRow, added_rows
from agent_kernel.runtime.vector_stores.indexing import Indexer
from agent_kernel.runtime.vector_stores.resources import batch_resource
from agent_kernel.store.documents import BatchRow, Documents


class LocalFileBatches:
    """See `FileBatches`."""

    def __init__(self, documents: Documents, files: LocalFiles, indexer: Indexer, store: StoreRow) -> None:
        self._rows = documents
        self._uploads = files
        self._indexer = indexer
        self._store = store

    async def create(self, store_id: str, params: Params) -> VectorStoreFileBatch:
        """See `FileBatches`."""
        check("VectorStoreFileBatchCreateParams", params)
        file_ids, files = params.get("file_ids"), params.get("files")
        if bool(file_ids) == bool(files):
            raise InvalidRequest("Give either file_ids or files, with at least one entry.", param="file_ids")
        await self._store(store_id)
        batch = BatchRow(ids.file_batch_id(), store_id, time.time())
        given = files or [{"file_id": each} for each in file_ids or ()]
        names = ("attributes", "chunking_strategy") if file_ids else ()
        defaults = {name: params.get(name) for name in names}
        rows = await added_rows(store_id, given, self._uploads, self._indexer.owner, defaults, batch.id)
        await self._rows.add_files(rows, batch)
        self._indexer.wake()
        return await self._resource(batch)

    async def retrieve(self, store_id: str, batch_id: str) -> VectorStoreFileBatch:
        """See `FileBatches`."""
        return await self._resource(await self._row(store_id, batch_id))

    async def cancel(self, store_id: str, batch_id: str) -> VectorStoreFileBatch:
        """See `FileBatches`."""
        row = await self._row(store_id, batch_id)
        counts = await self._rows.counts(store_id, batch_id)
        if counts.get("in_progress"):
            await self._rows.cancel_batch(row.id)
            self._indexer.wake()
        return await self.retrieve(store_id, batch_id)

    async def _row(self, store_id: str, batch_id: str) -> BatchRow:
        await self._store(store_id)
        row = await self._rows.batch(batch_id)
        if row is None or row.store_id != store_id:
            raise NotFound(
                f"There is no batch {shortened(batch_id)} in the vector store {store_id}.", param="batch_id"
            )
        return row

    async def _resource(self, row: BatchRow) -> VectorStoreFileBatch:
        return batch_resource(row, await self._rows.counts(row.store_id, row.id))
