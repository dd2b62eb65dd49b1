"""Embeddings: vectors of texts, for search by meaning.

Vectors are unit vectors of 16-bit floats, little-endian, as bytes: the dot product of two is their cosine.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from typing import Any, Protocol
from zlib import crc32

import openai

from agent_kernel.errors import ContextLengthExceeded, UpstreamRefused
from agent_kernel.models.upstream import Upstream

LOCAL = "local/ngrams"
"""The name of `NGramEmbedder` in the settings."""

EMBEDDING_WEIGHT = 2.0
"""What hits by meaning count beside hits by words: chosen over half of the questions of docs/."""

TOGETHER = 16
"""Texts of one request."""

_TOO_LONG = re.compile(r"too (large|long)|maximum (context|input|sequence)|exceed|context length", re.I)

_SHORT = 200
"""Characters that every model takes."""


class Embedder(Protocol):
    """A source of vectors."""

    @property
    def name(self) -> str:
        """The model's name. Vectors of models with different names are never compared."""
        ...

    @property
    def weight(self) -> float:
        """What its hits count beside hits by words, which count 1, unless a request says otherwise."""
        ...

    async def embed(self, texts: Sequence[str]) -> list[bytes]:
        """Return the vector of each text. Raises `UpstreamUnavailable`, `UpstreamRefused`."""
        ...

    async def aclose(self) -> None:
        """Release connections. Idempotent."""
        ...


class UpstreamEmbedder:
    """An embedding model behind an OpenAI-compatible `/embeddings`."""

    weight = EMBEDDING_WEIGHT

    def __init__(self, upstream: Upstream, name: str) -> None:
        self._upstream = upstream
        self.name = name

    async def embed(self, texts: Sequence[str]) -> list[bytes]:
        """See `Embedder`. A long list goes in several requests."""
        found: list[bytes] = []
        for place in range(0, len(texts), TOGETHER):
            found += await self._fitting(list(texts[place : place + TOGETHER]))
        return found

    async def _fitting(self, texts: list[str]) -> list[bytes]:
        """Embed texts; of one that is too long for the model, its halves, whose mean is its vector."""
        try:
            return await self._request(texts)
        except ContextLengthExceeded:
            if len(texts) == 1 and len(texts[0]) < _SHORT:
                raise
        if len(texts) > 1:
            return [vector for text in texts for vector in await self._fitting([text])]
        middle = len(texts[0]) // 2
        space = texts[0].find(" ", middle, middle + 100)
        middle = middle if space < 0 else space
        return [mean([(await self._fitting([part]))[0] for part in (texts[0][:middle], texts[0][middle:])])]

    async def _request(self, texts: list[str]) -> list[bytes]:
        try:
            answer: Any = await self._upstream.client.embeddings.create(
                model=self.name, input=texts, encoding_format="float"
            )
        except openai.OpenAIError as error:
            if _TOO_LONG.search(str(error)):  # llama.cpp says so with a 500, others with a 400 or a 413
                raise ContextLengthExceeded(
                    f"The embedding model at {self._upstream.address} does not take texts that long."
                ) from None
            raise self._upstream.refusal(error) from None
        try:
            rows = sorted(answer.data, key=lambda each: int(each.index))
            vectors = [unit([float(value) for value in each.embedding]) for each in rows]
        except (AttributeError, TypeError, ValueError):
            vectors = []
        if len(vectors) != len(texts):
            raise UpstreamRefused(
                f"The embedding model at {self._upstream.address} sent something that is not {len(texts)}"
                " vectors.",
                hint="Check AGENT_KERNEL_EMBEDDINGS and AGENT_KERNEL_EMBEDDINGS_URL.",
            )
        return vectors

    async def aclose(self) -> None:
        """See `Embedder`."""
        await self._upstream.aclose()


class NGramEmbedder:
    """Vectors of the words and the character trigrams of a text, in this process and without a model.

    They find other spellings and compounds, which words do not. They know no synonyms.
    """

    name = LOCAL
    weight = 0.5
    SIZE = 512

    async def embed(self, texts: Sequence[str]) -> list[bytes]:
        """See `Embedder`. The same text always has the same vector."""
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> bytes:
        counts: dict[int, float] = {}
        for word in re.findall(r"\w+", text.casefold()):
            padded = f" {word} "
            for gram in {padded, *(padded[n : n + 3] for n in range(len(padded) - 2))}:
                hashed = crc32(gram.encode())
                sign = 1.0 if hashed & 1 else -1.0
                place = (hashed >> 1) % self.SIZE
                counts[place] = counts.get(place, 0.0) + sign
        damped = {place: math.copysign(math.sqrt(abs(count)), count) for place, count in counts.items()}
        return unit([damped.get(place, 0.0) for place in range(self.SIZE)])

    async def aclose(self) -> None:
        """Do nothing."""


def mean(vectors: Sequence[bytes]) -> bytes:
    """Return the unit vector between several."""
    rows = [struct.unpack(f"<{len(vector) // 2}e", vector) for vector in vectors]
    return unit([math.fsum(column) for column in zip(*rows, strict=True)])


def unit(values: Sequence[float]) -> bytes:
    """Return a vector of length 1. Raises `ValueError` for values that are no vector."""
    length = math.sqrt(math.fsum(value * value for value in values))
    if not values or not math.isfinite(length):
        raise ValueError("This is not a vector.")
    return struct.pack(f"<{len(values)}e", *(value / (length or 1.0) for value in values))
