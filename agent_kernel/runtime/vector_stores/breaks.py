"""Where a text may be cut: behind a paragraph, a line, a sentence or a word."""

from __future__ import annotations

import re

WIDE = 60
"""Characters from which a line may have been wrapped, so that its end says nothing."""

_LOOK_BACK = 400
_GOES_ON = re.compile(r"(?<=[^\s.:;!?|])\n(?=[ \t]*[a-z(`])")
_BREAKS = ("\n\n", "\n", ". ", " ")


def last_break(text: str, start: int, end: int) -> int | None:
    """Return the place behind the best break from `start` to `end`; None if there is none."""
    from_ = max(start - _LOOK_BACK, 0)
    joined = unwrapped(text[from_:end])
    for mark in _BREAKS:
        place = joined.rfind(mark, start - from_)
        if place >= 0:
            return from_ + place + len(mark)
    return None


def unwrapped(text: str) -> str:
    """Return a text of the same length with spaces where only the width of a page has ended a line."""

    def space(found: re.Match[str]) -> str:
        begin = text.rfind("\n", 0, found.start()) + 1
        wide = found.start() - begin >= WIDE and "|" not in text[begin : found.start()]
        return " " if wide else "\n"

    return _GOES_ON.sub(space, text)
