"""Cuts chunks into passages that an embedding model reads whole, each with the headings that it stands under.

Small models read about 200 words and ignore the rest. A chunk has one vector for each of its passages, and is
as near to a query as the nearest of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

LONGEST = 600
"""Characters of one passage, without its headings."""

_HEADING = re.compile(r"^(#{1,6})[ \t]+(\S.{0,199})$", re.MULTILINE)
_BREAKS = ("\n\n", "\n", ". ", " ")
_RECOGNIZED = 80
"""Characters by which the start of a chunk is found in the chunk before, which it overlaps."""

Path = tuple[tuple[int, str], ...]
"""The headings above a place, each with its level, outermost first."""


class Passages:
    """Cuts the chunks of one file, which come in order."""

    def __init__(self) -> None:
        self._before = ""
        self._path: Path = ()

    def of(self, chunk: str) -> list[str]:
        """Return the passages of the next chunk; at least one."""
        place = self._before.rfind(chunk[:_RECOGNIZED])
        self._path = _path_at(self._before, len(self._before) if place < 0 else place, self._path)
        self._before = chunk
        found = []
        for path, body in _sections(chunk, self._path):
            heading = " > ".join(title for _, title in path)
            found += [f"{heading}\n{piece}" if heading else piece for piece in _pieces(body)]
        return found or [chunk]


def _path_at(text: str, end: int, path: Path) -> Path:
    """Return the headings above a place of a text that begins below `path`."""
    for found in _HEADING.finditer(text, 0, end):
        path = _below(path, found)
    return path


def _below(path: Path, heading: re.Match[str]) -> Path:
    level = len(heading[1])
    return (*(each for each in path if each[0] < level), (level, heading[2].strip()))


def _sections(text: str, path: Path) -> Iterator[tuple[Path, str]]:
    """Yield what stands under each heading, without the heading."""
    start = 0
    for found in _HEADING.finditer(text):
        yield path, text[start : found.start()]
        path, start = _below(path, found), found.end()
    yield path, text[start:]


def _pieces(body: str) -> Sequence[str]:
    found, start = [], 0
    while start < len(body):
        end = _end(body, start)
        if piece := body[start:end].strip():
            found.append(piece)
        start = end
    return found


def _end(body: str, start: int) -> int:
    """Return where the piece from `start` ends: behind a paragraph, a line, a sentence or a word."""
    end = start + LONGEST
    if end >= len(body):
        return len(body)
    for mark in _BREAKS:
        place = body.rfind(mark, start + LONGEST // 2, end)
        if place >= 0:
            return place + len(mark)
    return end
