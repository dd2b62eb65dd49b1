"""The order of passages: hits by words and hits by vectors, fused by their ranks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent_kernel.store.documents import Hit
from agent_kernel.tools.document_search.search import Ranking

K = 60
"""The constant of reciprocal rank fusion, as Cormack, Clarke and Büttcher chose it in 2009."""

HALF = 10.0
"""The bm25 score that counts as 0.5 if there are no vectors."""

MOST_WORDS = 64

_STOP_WORDS = (
    "a about an and any are as at be been but by can could did do does for from had has have how i if in into"
    " is it its just may me might my no not of on or our should so some such than that the their them then"
    " there these they this those to was we were what when where which while who whom whose why will with"
    " would you your"
)
_SAYS_NOTHING = frozenset(_STOP_WORDS.split())


def words_of(text: str) -> list[str]:
    """Return the words of a query that say something, or all if none does."""
    words = list(dict.fromkeys(re.findall(r"\w+", text.lower())))
    return [word for word in words if word not in _SAYS_NOTHING][:MOST_WORDS] or words[:MOST_WORDS]


@dataclass
class Ranked:
    """A hit with its best place among hits by words and among those by vectors, from 1. None: not found."""

    hit: Hit
    store_id: str
    by_words: int | None = None
    by_vectors: int | None = None
    bm25: float = 0.0

    def score(self, ranking: Ranking, *, hybrid: bool) -> float:
        """Return the score from 0 to 1."""
        if not hybrid:
            return self.bm25 / (self.bm25 + HALF) if self.bm25 > 0 else 0.0
        places = ((ranking.text_weight, self.by_words), (ranking.embedding_weight, self.by_vectors))
        best = sum(weight for weight, _ in places) / (K + 1)
        return sum(weight / (K + place) for weight, place in places if place is not None) / best


@dataclass
class Fusion:
    """Collects the hits of all queries in all stores. `hybrid`: there are hits by vectors too."""

    ranking: Ranking
    hybrid: bool
    _found: dict[tuple[str, int], Ranked] = field(default_factory=dict)

    def add_words(self, hits: Sequence[tuple[str, Hit]]) -> None:
        """Add the hits of one query by words, of all stores."""
        for place, (store_id, hit) in enumerate(sorted(hits, key=lambda each: -each[1].score), 1):
            ranked = self._of(store_id, hit)
            ranked.by_words = min(place, ranked.by_words or place)
            ranked.bm25 = max(ranked.bm25, hit.score)

    def add_vectors(self, hits: Sequence[tuple[str, Hit]]) -> None:
        """Add the hits of one query by vectors, of all stores."""
        for place, (store_id, hit) in enumerate(sorted(hits, key=lambda each: -each[1].score), 1):
            ranked = self._of(store_id, hit)
            ranked.by_vectors = min(place, ranked.by_vectors or place)

    def best(self, limit: int) -> list[tuple[Ranked, float]]:
        """Return the best hits with their scores, best first."""
        scored = [(each, each.score(self.ranking, hybrid=self.hybrid)) for each in self._found.values()]
        scored.sort(key=lambda each: (-each[1], each[0].hit.chunk))
        return [each for each in scored if each[1] >= self.ranking.threshold][:limit]

    def _of(self, store_id: str, hit: Hit) -> Ranked:
        return self._found.setdefault((store_id, hit.chunk), Ranked(hit, store_id))
