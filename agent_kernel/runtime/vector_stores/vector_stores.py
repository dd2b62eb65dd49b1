"""The vector stores of one tenant (`/v1/vector_stores`), and the search in them."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from openai.types import VectorStore, VectorStoreSearchResponse

from agent_kernel.errors import CapabilityMissing, InvalidRequest, NotFound
from agent_kernel.models.embedding.embedders import Embedder
from agent_kernel.protocol import ids
from agent_kernel.protocol.validation import check, shortened
from agent_kernel.runtime.base import Order, Page
from agent_kernel.runtime.uploads.uploaded_files import LocalFiles
from agent_kernel.runtime.vector_stores.base import Params
from agent_kernel.runtime.vector_stores.batches import LocalFileBatches
from agent_kernel.runtime.vector_stores.chunking import CHARACTERS, MOST_TOKENS
from agent_kernel.runtime.vector_stores.files import LocalStoredFiles, added_rows, page_of
from agent_kernel.runtime.vector_stores.indexing import Indexer
from agent_kernel.runtime.vector_stores.ranking import Fusion, Ranked, words_of
from agent_kernel.runtime.vector_stores.resources import expires_at, store_resource
from agent_kernel.store.documents import Documents, Hit, StoredFileRow, VectorStoreRow
from agent_kernel.tools.document_search.filters import read_filter
from agent_kernel.tools.document_search.search import Passage, Query, read_limit, read_ranking

CANDIDATES = 50
"""Hits of each method that are fused, at least."""

JOINED = 2
"""Sizes of a chunk that a result has at most: a chunk and both neighbours, of which it has half each."""

LONGEST_QUERY = 4096
MOST_QUERIES = 10


class LocalVectorStores:
    """See `VectorStores`, and `DocumentSearch` of the tool."""

    def __init__(
        self, documents: Documents, files: LocalFiles, indexer: Indexer, embedder: Embedder | None
    ) -> None:
        self._rows = documents
        self._uploads = files
        self._indexer = indexer
        self._embedder = embedder
        self.files = LocalStoredFiles(documents, files, indexer, self.row)
        self.file_batches = LocalFileBatches(documents, files, indexer, self.row)

    # -- the endpoints

    async def create(self, params: Params) -> VectorStore:
        """See `VectorStores`."""
        check("VectorStoreCreateParams", params)
        now = time.time()
        row = VectorStoreRow(
            ids.vector_store_id(),
            now,
            str(params.get("name") or ""),
            params.get("description"),
            params.get("metadata") or {},
            _days(params.get("expires_after")),
            now,
        )
        given = [{"file_id": each} for each in params.get("file_ids") or ()]
        defaults = {"chunking_strategy": params.get("chunking_strategy")}
        files = await added_rows(row.id, given, self._uploads, self._indexer.owner, defaults)
        await self._rows.put_store(row)
        if files:
            await self._rows.add_files(files)
            self._indexer.wake()
        return await self._resource(row)

    async def list(
        self,
        *,
        after: str | None = None,
        before: str | None = None,
        limit: int = 20,
        order: Order = "desc",
    ) -> Page[VectorStore]:
        """See `VectorStores`."""
        found = page_of(await self._rows.stores(), after, before, limit, order)
        return Page([await self._resource(row) for row in found.data], found.has_more)

    async def retrieve(self, store_id: str) -> VectorStore:
        """See `VectorStores`."""
        return await self._resource(await self.row(store_id))

    async def update(self, store_id: str, params: Params) -> VectorStore:
        """See `VectorStores`. Null for `expires_after` means that it never expires."""
        check("VectorStoreUpdateParams", params)
        row = await self.row(store_id)
        changes: dict[str, Any] = {}
        if "name" in params:
            changes["name"] = params["name"] or ""
        if "metadata" in params:
            changes["metadata"] = params["metadata"] or {}
        if "expires_after" in params:
            changes["days"] = _days(params["expires_after"])
        changed = VectorStoreRow(**{**vars(row), **changes, "last_active_at": time.time()})
        await self._rows.put_store(changed)
        return await self._resource(changed)

    async def delete(self, store_id: str) -> None:
        """See `VectorStores`."""
        if not await self._rows.delete_store(store_id):
            raise _unknown(store_id)

    async def find(self, store_id: str, params: Params) -> Sequence[VectorStoreSearchResponse]:
        """See `VectorStores`. `rewrite_query` changes nothing."""
        check("VectorStoreSearchParams", params)
        given = params["query"]
        texts = [given] if isinstance(given, str) else list(given)
        _check_queries(texts)
        query = Query(
            [store_id],
            texts,
            read_filter(params.get("filters"), "filters"),
            read_limit(params.get("max_num_results"), "max_num_results", 10),
            read_ranking(params.get("ranking_options"), "ranking_options"),
        )
        await self.row(store_id)
        return [
            VectorStoreSearchResponse.construct(
                file_id=each.file_id,
                filename=each.filename,
                score=each.score,
                attributes=dict(each.attributes),
                content=[{"type": "text", "text": each.text}],
            )
            for each in await self.search(query)
        ]

    # -- the search

    async def check(self, store_ids: Sequence[str], where: str) -> None:
        """See `DocumentSearch`."""
        for store_id in store_ids:
            _check_alive(await self.row(store_id, where), where)

    async def text_of(self, filename: str, content: bytes) -> str:
        """See `DocumentSearch`."""
        return await self._indexer.text_of(filename, content)

    async def search(self, query: Query) -> Sequence[Passage]:
        """See `DocumentSearch`."""
        await self.check(query.store_ids, "vector_store_ids")
        await self._rows.touch_stores(query.store_ids, time.time())
        files: dict[tuple[str, int], StoredFileRow] = {}
        allowed: dict[str, Collection[int] | None] = {}
        for store_id in query.store_ids:
            rows = await self._rows.stored_files(store_id)
            files.update({(store_id, row.number): row for row in rows})
            wanted = query.filter
            fits = None if wanted is None else [r.number for r in rows if wanted.allows(r.attributes)]
            allowed[store_id] = fits
        fusion = await self._fused(query, files, allowed)
        found = []
        for each, score in fusion.best(query.limit, partial(_longest, files)):
            row = files.get((each.store_id, each.hit.file))
            if row is not None:  # otherwise it was deleted meanwhile
                found.append(
                    Passage(row.store_id, row.file_id, row.filename, row.attributes, score, each.hit.text)
                )
        return found

    async def _fused(
        self,
        query: Query,
        files: dict[tuple[str, int], StoredFileRow],
        allowed: dict[str, Collection[int] | None],
    ) -> Fusion:
        most = max(CANDIDATES, 3 * query.limit)
        model = self._embedder.name if self._embedder is not None else None
        embedded = {store for (store, _), row in files.items() if row.embedded_with == model}
        hybrid = self._embedder is not None and query.ranking.embedding_weight != 0 and bool(embedded)
        weight = self._embedder.weight if self._embedder is not None else 0.0
        fusion = Fusion(query.ranking, hybrid, weight)
        vectors = await self._embedder.embed(query.texts) if self._embedder is not None and hybrid else []
        for place, text in enumerate(query.texts):
            words = words_of(text)
            by_words: list[tuple[str, Hit]] = []
            by_vectors: list[tuple[str, Hit]] = []
            for store_id, only in allowed.items():
                if query.ranking.text_weight > 0 or not hybrid:
                    hits = await self._rows.find_words(store_id, words, only, most)
                    by_words += [(store_id, hit) for hit in hits]
                if hybrid and store_id in embedded:
                    near = await self._rows.find_vectors(store_id, vectors[place], str(model), only, most)
                    by_vectors += [(store_id, hit) for hit in near]
            fusion.add_words(by_words, words)
            fusion.add_vectors(by_vectors)
        return fusion

    # -- rows

    async def row(self, store_id: str, where: str = "vector_store_id") -> VectorStoreRow:
        """Return a vector store's row. Raises `NotFound`."""
        row = await self._rows.store(store_id)
        if row is None:
            raise _unknown(store_id, where)
        return row

    async def _resource(self, row: VectorStoreRow) -> VectorStore:
        return store_resource(row, await self._rows.counts(row.id), time.time())


def none_here() -> CapabilityMissing:
    """Return the error for a store without vector stores."""
    return CapabilityMissing(
        "This server's kind of store has no vector stores and no uploads in parts.",
        hint="AGENT_KERNEL_STORE=sqlite, the default, and PostgreSQL have them.",
    )


def _longest(files: Mapping[tuple[str, int], StoredFileRow], each: Ranked) -> int:
    """Return how many characters a result may have."""
    row = files.get((each.store_id, each.hit.file))
    return 0 if row is None else CHARACTERS * min(JOINED * row.chunk_tokens, MOST_TOKENS)


def _days(given: Any) -> int | None:
    return None if given is None else int(given["days"])


def _check_queries(texts: Sequence[str]) -> None:
    if not texts or len(texts) > MOST_QUERIES or not all(text.strip() for text in texts):
        raise InvalidRequest(
            f"query must be a string, or a list of 1 to {MOST_QUERIES}, that is not empty.", param="query"
        )
    if any(len(text) > LONGEST_QUERY for text in texts):
        raise InvalidRequest(f"query may have at most {LONGEST_QUERY} characters.", param="query")


def _check_alive(row: VectorStoreRow, where: str) -> None:
    end = expires_at(row)
    if end is not None and end <= time.time():
        raise NotFound(
            f"The vector store {row.id} has expired.",
            hint="Create another one, with a longer expires_after or none.",
            param=where,
        )


def _unknown(store_id: str, where: str = "vector_store_id") -> NotFound:
    return NotFound(f"There is no vector store {shortened(store_id)}.", param=where)
