"""A search in vector stores, as the tool and the endpoint ask for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.validation import shortened
from agent_kernel.tools.document_search.filters import Filter

Json = Mapping[str, Any]

RANKERS = ("auto", "default-2024-11-15", "none")
MOST_RESULTS = 50


@dataclass(frozen=True)
class Ranking:
    """How hits by words and by vectors are put in one order; see `runtime.vector_stores.ranking`."""

    threshold: float = 0.0
    """Results below this score, from 0 to 1, are left out."""
    embedding_weight: float | None = None
    """What meaning counts beside words; None: as it is best for the embedding model."""
    text_weight: float = 1.0


@dataclass(frozen=True)
class Query:
    """What to search for. Each of `texts` is searched, and a result counts with its best place."""

    store_ids: Sequence[str]
    texts: Sequence[str]
    filter: Filter | None = None
    limit: int = 10
    ranking: Ranking = field(default_factory=Ranking)


@dataclass(frozen=True)
class Passage:
    """A passage that was found, with its file. `score` is from 0 to 1."""

    store_id: str
    file_id: str
    filename: str
    attributes: Json
    score: float
    text: str


class DocumentSearch(Protocol):
    """The vector stores of one tenant."""

    async def check(self, store_ids: Sequence[str], where: str) -> None:
        """Raise `NotFound` for a vector store that does not exist, or has expired."""
        ...

    async def text_of(self, filename: str, content: bytes) -> str:
        """Return the text of a file that is in no vector store, read in a sandbox.

        Raises `InvalidRequest` if it has none, `SandboxError`. Cancelling deletes the sandbox.
        """
        ...

    async def search(self, query: Query) -> Sequence[Passage]:
        """Return the best passages, best first.

        Raises `NotFound` as `check`, `ModelError` if the embeddings cannot be had, `ConfigurationError`.
        """
        ...


def read_limit(given: object, where: str, default: int) -> int:
    """Check a `max_num_results`; None means the default. Raises `InvalidRequest`."""
    if given is None:
        return default
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= MOST_RESULTS:
        raise InvalidRequest(
            f"{where} must be from 1 to {MOST_RESULTS}, not {shortened(given)}.", param=where
        )
    return given


def read_ranking(given: object, where: str) -> Ranking:
    """Check `ranking_options`; None means the defaults. Raises `InvalidRequest`."""
    if given is None:
        return Ranking()
    if not isinstance(given, Mapping):
        raise InvalidRequest(f"{where} must be an object, not {shortened(given)}.", param=where)
    if given.get("ranker") not in (None, *RANKERS):
        raise InvalidRequest(f"{where}.ranker must be one of {', '.join(RANKERS)}.", param=f"{where}.ranker")
    weights = given.get("hybrid_search")
    if weights is not None and not isinstance(weights, Mapping):
        raise InvalidRequest(f"{where}.hybrid_search must be an object.", param=f"{where}.hybrid_search")
    weights = weights or {}
    place, meaning = f"{where}.hybrid_search", weights.get("embedding_weight")
    ranking = Ranking(
        _number(given.get("score_threshold"), f"{where}.score_threshold", 0.0, 1.0),
        None if meaning is None else _number(meaning, f"{place}.embedding_weight", 0.0, 1e6),
        _number(weights.get("text_weight"), f"{place}.text_weight", 1.0, 1e6),
    )
    if ranking.embedding_weight == 0 and not ranking.text_weight:
        raise InvalidRequest(f"{place}: one of the weights must be greater than 0.", param=place)
    return ranking


def _number(given: object, where: str, default: float, most: float) -> float:
    if given is None:
        return default
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= most:
        raise InvalidRequest(
            f"{where} must be a number from 0 to {most:g}, not {shortened(given)}.", param=where
        )
    return float(given)
