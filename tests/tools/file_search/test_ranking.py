"""Ranks are fused as the weights say, and recall over docs/ is never below that of plain FTS5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent_kernel.models.embedding.embedders import Embedder, NGramEmbedder
from agent_kernel.runtime.vector_stores.ranking import Fusion, words_of
from agent_kernel.store.documents import Hit
from agent_kernel.store.sqlite.store import sqlite_store
from agent_kernel.tools.document_search.search import Ranking
from tests.tools.file_search.library import Library


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


def test_hits_by_words_count_by_how_many_words_they_have() -> None:
    fusion = Fusion(Ranking(), hybrid=True)
    one, other = Hit(1, 1, "Rivers are old.", 9.0), Hit(2, 1, "Sodium cools the river.", 8.0)
    fusion.add_words([("vs", one), ("vs", other)], ["river", "sodium"])
    (first, _), (second, _) = fusion.best(2)
    assert (first.hit.chunk, second.hit.chunk) == (2, 1)
    assert first.by_words == pytest.approx(8 / 9)
    assert second.by_words == pytest.approx(1 / 4)


def test_words_without_meaning_are_left_out() -> None:
    assert words_of("What is the Größe of it?") == ["größe"]
    assert words_of("What is it?") == ["what", "is", "it"]


@pytest.mark.parametrize("embedder", [None, NGramEmbedder()], ids=["words", "ngrams"])
async def test_recall_is_not_below_that_of_plain_fts5(
    tmp_path: Path, embedder: Embedder | None, record_property: Any
) -> None:
    """The figures of an embedding model with a server are those of `benchmarks/file_search.py`."""
    library = Library(sqlite_store(tmp_path), embedder)
    try:
        await library.fill()
        ours, fts = sum(await library.answered()), sum(await library.plainly_answered())
    finally:
        await library.runtime.aclose()
    assert ours >= fts
