"""Cuts a text into chunks that overlap, without holding more of it than a few chunks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from dataclasses import dataclass
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.validation import shortened
from agent_kernel.runtime.vector_stores.breaks import last_break

CHARACTERS = 4
"""Characters that count as one token."""

MOST_TOKENS = 4096
"""The most that one chunk may have."""

_LEAST = 100


@dataclass(frozen=True)
class Chunking:
    """Sizes in tokens. The defaults are the API's for `auto`."""

    size: int = 800
    overlap: int = 400


def read_chunking(given: object, where: str = "chunking_strategy") -> Chunking:
    """Check a `chunking_strategy`; None means `auto`. Raises `InvalidRequest`."""
    if given is None:
        return Chunking()
    kind = given.get("type") if isinstance(given, Mapping) else None
    if not isinstance(given, Mapping) or kind not in ("auto", "static"):
        raise InvalidRequest(f"{where}.type must be auto or static.", param=f"{where}.type")
    if kind == "auto":
        return Chunking()
    static = given.get("static")
    if not isinstance(static, Mapping):
        raise InvalidRequest(f"{where}.static must be an object.", param=f"{where}.static")
    size = _whole(static, "max_chunk_size_tokens", f"{where}.static", _LEAST, MOST_TOKENS)
    overlap = _whole(static, "chunk_overlap_tokens", f"{where}.static", 0, size // 2)
    return Chunking(size, overlap)


def _whole(given: Mapping[str, Any], name: str, where: str, least: int, most: int) -> int:
    value = given.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidRequest(
            f"{where}.{name} must be a whole number from {least} to {most}, not {shortened(value)}.",
            param=f"{where}.{name}",
        )
    return value


async def chunks_of(pieces: AsyncIterable[str], chunking: Chunking) -> AsyncGenerator[str, None]:
    """Yield the chunks of a text that arrives in pieces. Blank chunks are left out."""
    size, overlap = chunking.size * CHARACTERS, chunking.overlap * CHARACTERS
    text = ""
    is_new = False  # whether `text` has more than what overlaps with the last chunk
    async for piece in pieces:
        text += piece
        is_new = True
        while len(text) > size:
            end = _end(text, size, overlap)
            if chunk := text[:end].strip():
                yield chunk
            text = text[_start(text, end - overlap) :]
    if is_new and (chunk := text.strip()):
        yield chunk


def _end(text: str, size: int, overlap: int) -> int:
    """Return where the first chunk of the text ends: more than `overlap` and at most `size` characters.

    It ends at a break in its last quarter, if that has one.
    """
    place = last_break(text, max(size - size // 4, overlap + 1), size)
    return size if place is None else place


def _start(text: str, place: int) -> int:
    """Return where the next chunk begins: behind the first space near `place`, so not within a word."""
    if place <= 0:
        return max(place, 0)
    space = text.find(" ", place, place + 40)
    return place if space < 0 else space + 1
