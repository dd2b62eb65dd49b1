"""The order of passages: hits by words and hits by vectors, fused by their scores.

The scores of each method are put on one scale from 0 to 1 and added with the weights, a convex combination.
Bruch, Gai and Ingber (2022) found it better than fusion of ranks, and so did the questions over docs/. A hit
by words counts by the square of the share of the query's words that it has: the best of those that have one
word of several is no answer, and must not outrank what is near in meaning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from agent_kernel.models.embedding.embedders import EMBEDDING_WEIGHT
from agent_kernel.store.documents import Hit
from agent_kernel.tools.document_search.search import Ranking

FLOOR = 0.1
"""What the last of the hits by vectors counts, if the first counts 1."""

HALF = 10.0
"""The bm25 score that counts as 0.5 if there are no vectors."""

MOST_WORDS = 64

START = 5
"""Letters by which a word is the same as another form of it."""

SHARED = 100
"""Characters by which the start of a chunk is recognised in its neighbour."""

MOST_TRIES = 20
"""Places where that start is looked for: a text may repeat itself."""

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


def share_of(words: Sequence[str], text: str) -> float:
    """Return the share of words that a text has, at least one of them; inflections vary behind the start."""
    wanted = {word[:START] for word in words}
    has = {word[:START] for word in re.findall(r"\w+", text.lower())}
    return max(len(wanted & has), 1) / len(wanted) if wanted else 1.0


@dataclass
class Ranked:
    """A hit with its best shares, from 0 to 1, of the first hit's score by words and by vectors."""

    hit: Hit
    store_id: str
    by_words: float = 0.0
    by_vectors: float = 0.0
    bm25: float = 0.0

    def score(self, ranking: Ranking, weight: float, *, hybrid: bool) -> float:
        """Return the score from 0 to 1. `weight` is that of vectors."""
        if not hybrid:
            return self.bm25 / (self.bm25 + HALF) if self.bm25 > 0 else 0.0
        words, vectors = ranking.text_weight, weight
        return (words * self.by_words + vectors * self.by_vectors) / (words + vectors)


@dataclass
class Fusion:
    """Collects the hits of all queries in all stores. `hybrid`: there are hits by vectors too."""

    ranking: Ranking
    hybrid: bool
    weight: float = EMBEDDING_WEIGHT
    """What vectors count where the request does not say."""
    _found: dict[tuple[str, int], Ranked] = field(default_factory=dict)

    def add_words(self, hits: Sequence[tuple[str, Hit]], words: Sequence[str] = ()) -> None:
        """Add the hits of one query by these words, of all stores."""
        most = max((hit.score for _, hit in hits), default=0.0)
        for store_id, hit in hits:
            ranked = self._of(store_id, hit)
            share = hit.score / most if most > 0 else 1.0
            ranked.by_words = max(ranked.by_words, share * share_of(words, hit.text) ** 2)
            ranked.bm25 = max(ranked.bm25, hit.score)

    def add_vectors(self, hits: Sequence[tuple[str, Hit]]) -> None:
        """Add the hits of one query by vectors, of all stores.

        Cosines of a model lie close together, each model's elsewhere: only their differences count.
        """
        cosines = [hit.score for _, hit in hits]
        least, range_ = min(cosines, default=0.0), max(cosines, default=0.0) - min(cosines, default=0.0)
        for store_id, hit in hits:
            share = (hit.score - least) / range_ if range_ > 0 else 1.0
            ranked = self._of(store_id, hit)
            ranked.by_vectors = max(ranked.by_vectors, FLOOR + (1 - FLOOR) * share)

    def best(self, limit: int, longest: Callable[[Ranked], int] = lambda _: 0) -> list[tuple[Ranked, float]]:
        """Return the best hits with their scores, best first.

        Chunks overlap, and the neighbours of a hit would take the places of other answers. They are joined to
        it instead, as what only they have may answer, while it has at most `longest` characters. Others that
        repeat a hit are left out unless there is room.
        """
        taken: list[tuple[Ranked, float]] = []
        repeating: list[tuple[Ranked, float]] = []
        for each, score in self._scored():
            before = next((other for other, _ in taken if _overlap(other, each)), None)
            text = None if before is None else _joined(before.hit.text, each.hit.text)
            if before is None and len(taken) == limit:
                break
            if before is None:
                taken.append((replace(each), score))
            elif text is not None and len(text) <= longest(before):
                before.hit = replace(before.hit, text=text)
            else:
                repeating.append((each, score))
        found = [*taken, *repeating[: limit - len(taken)]]
        return sorted(found, key=lambda each: (-each[1], each[0].hit.chunk))

    def _scored(self) -> list[tuple[Ranked, float]]:
        given = self.ranking.embedding_weight
        weight = self.weight if given is None else given
        found = self._found.values()
        scored = [(each, each.score(self.ranking, weight, hybrid=self.hybrid)) for each in found]
        scored.sort(key=lambda each: (-each[1], each[0].hit.chunk))
        return [each for each in scored if each[1] >= self.ranking.threshold]

    def _of(self, store_id: str, hit: Hit) -> Ranked:
        return self._found.setdefault((store_id, hit.chunk), Ranked(hit, store_id))


def _overlap(one: Ranked, other: Ranked) -> bool:
    """Return whether two chunks of a file are neighbours that share text."""
    if (one.store_id, one.hit.file) != (other.store_id, other.hit.file):
        return False
    return one.hit.text[:SHARED] in other.hit.text or other.hit.text[:SHARED] in one.hit.text


def _joined(one: str, other: str) -> str | None:
    """Return the text of two neighbours, whichever is first; None if neither goes on where the other ends."""
    for first, second in ((one, other), (other, one)):
        place = -1
        for _ in range(MOST_TRIES):
            place = first.find(second[:SHARED], place + 1)
            if place < 0:
                break
            if second.startswith(first[place:]):
                return first[:place] + second
            if first.startswith(second, place):
                return first
    return None
