"""Ranks are fused as the weights say, and recall over docs/ is never below that of plain FTS5."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.models.catalogue import Models
from agent_kernel.models.embedding.embedders import Embedder, NGramEmbedder
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.runtime.vector_stores.ranking import Fusion, words_of
from agent_kernel.store.base import Store
from agent_kernel.store.documents import Hit
from agent_kernel.store.sqlite.store import sqlite_store
from agent_kernel.tools.document_search.search import Ranking
from tests.tools.file_search.asked import ROOT, plain, questions


def hits(*chunks: int) -> list[tuple[str, Hit]]:
    return [("vs", Hit(chunk, 1, f"text {chunk}", 10.0 - place)) for place, chunk in enumerate(chunks)]


def order(ranking: Ranking) -> list[int]:
    fusion = Fusion(ranking, hybrid=True)
    fusion.add_words(hits(1, 2, 3))
    fusion.add_vectors(hits(3, 4))
    return [ranked.hit.chunk for ranked, _ in fusion.best(10)]


def test_weights_decide_between_words_and_vectors() -> None:
    assert order(Ranking()) == [3, 1, 2, 4]
    assert order(Ranking(embedding_weight=0.01)) == [1, 2, 3, 4]
    assert order(Ranking(text_weight=0.01)) == [3, 4, 1, 2]


def test_first_in_both_orders_scores_one() -> None:
    fusion = Fusion(Ranking(threshold=0.99), hybrid=True)
    fusion.add_words(hits(1, 2))
    fusion.add_vectors(hits(1, 3))
    ((ranked, score),) = fusion.best(10)
    assert ranked.hit.chunk == 1
    assert score == pytest.approx(1.0)


def test_words_without_meaning_are_left_out() -> None:
    assert words_of("What is the Größe of it?") == ["größe"]
    assert words_of("What is it?") == ["what", "is", "it"]


DOCS = sorted((ROOT / "docs").rglob("*.md"))


class Library:
    """docs/ in a vector store of a runtime without a server or a sandbox."""

    def __init__(self, store: Store, embedder: Embedder | None) -> None:
        async def no_backend() -> Any:
            raise AssertionError("Markdown needs no sandbox")

        models = Models(upstream_url=None, upstream_key=None, default="scripted/demo")
        parts = RuntimeParts(models=models, backend=no_backend, store=store, embedder=embedder)
        self.runtime = LocalRuntime(parts)
        self.store = store
        self.id = ""

    async def fill(self) -> None:
        async def content(data: bytes) -> AsyncIterator[bytes]:
            yield data

        await self.runtime.start()
        self.id = (await self.runtime.vector_stores.create({"name": "docs"})).id
        files = []
        for path in DOCS:
            form = {"purpose": "assistants"}
            made = await self.runtime.files.create(
                filename=path.name, content=content(path.read_bytes()), form=form
            )
            files.append({"file_id": made.id})
        batch = await self.runtime.vector_stores.file_batches.create(self.id, {"files": files})
        while (batch.file_counts.in_progress) > 0:
            await asyncio.sleep(0.05)
            batch = await self.runtime.vector_stores.file_batches.retrieve(self.id, batch.id)
        assert batch.file_counts.completed == len(files)

    async def recall(self) -> float:
        """The share of questions whose passage is whole in one of five results."""
        found = 0
        for each in questions():
            params = {"query": each.question, "max_num_results": 5}
            results = await self.runtime.vector_stores.find(self.id, params)
            found += any(plain(each.passage) in plain(result.content[0].text) for result in results)
        return found / len(questions())

    async def plain_recall(self) -> float:
        """The same with FTS5 alone: all words of a question, in the order of bm25."""
        assert self.store.documents is not None
        found = 0
        for each in questions():
            words = list(dict.fromkeys(re.findall(r"\w+", each.question.lower())))
            results = await self.store.documents.find_words(self.id, words, None, 5)
            found += any(plain(each.passage) in plain(hit.text) for hit in results)
        return found / len(questions())


@pytest.mark.parametrize("embedder", [None, NGramEmbedder()], ids=["words", "ngrams"])
async def test_recall_is_not_below_that_of_plain_fts5(
    tmp_path: Path, embedder: Embedder | None, record_property: Any
) -> None:
    """The figures of an embedding model with a server are those of `benchmarks/file_search.py`."""
    library = Library(sqlite_store(tmp_path), embedder)
    try:
        await library.fill()
        ours, fts = await library.recall(), await library.plain_recall()
    finally:
        await library.runtime.aclose()
    assert ours >= fts
