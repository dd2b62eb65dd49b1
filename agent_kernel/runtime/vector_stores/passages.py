"""Cuts chunks into passages that an embedding model reads whole, each with the headings that it stands under.

Small models read about 200 words and ignore the rest, and the vector of a text with several subjects is near
to none of them. So a passage is a paragraph, an item of a list or a row of a table. A chunk has one vector
for each of its passages, and is as near to a query as the nearest of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agent_kernel.runtime.vector_stores.breaks import last_break

LONGEST = 600
"""Characters of one passage, without its headings."""

_HEADING = re.compile(r"^(#{1,6})[ \t]+(\S.{0,199})$", re.MULTILINE)
_ALONE = re.compile(r"[ \t]*(\||[-*+] |\d{1,3}[.)] )")
"""How a line begins that is a passage of its own."""
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
        start = _whole_from(self._before, place, chunk)
        self._path = _path_at(self._before, len(self._before) if place < 0 else place + start, self._path)
        self._before = chunk
        found = []
        for path, body in _sections(chunk[start:], self._path):
            heading = " > ".join(title for _, title in path)
            found += [f"{heading}\n{piece}" if heading else piece for piece in _pieces(body)]
        return found or [chunk]


def _whole_from(before: str, place: int, chunk: str) -> int:
    """Return where a chunk begins that the one before, in which it starts at `place`, has not whole."""
    if place <= 0 or before[place - 1] == "\n":
        return 0
    end = chunk.find("\n\n")
    return end if 0 <= end < min(len(before) - place, len(chunk.rstrip()) - 2) else 0


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


def _pieces(body: str) -> Iterator[str]:
    for block in _blocks(body):
        yield from _cut(block)


def _blocks(body: str) -> Iterator[str]:
    """Yield paragraphs, items of lists and rows of tables that have letters or digits."""
    lines: list[str] = []
    for line in [*body.splitlines(keepends=True), ""]:
        if not line.strip() or _ALONE.match(line):
            if any(map(str.isalnum, block := "".join(lines))):
                yield block
            lines = []
        lines.append(line)


def _cut(body: str) -> Sequence[str]:
    """Return the parts of a block that is too long."""
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
    place = last_break(body, start + LONGEST // 2, end)
    return end if place is None else place
