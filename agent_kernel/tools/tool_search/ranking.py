"""Ranks tools by words in their names and descriptions, with the bm25 of SQLite's full-text index."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing

_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
MOST_WORDS = 50
_LONGEST = 4000
"""Characters of one description that are searched."""
_NAMES, _DESCRIPTIONS = 4.0, 1.0
"""Weights: a word in a name says more than one in a description."""


def ranked(query: str, tools: Sequence[tuple[str, str]], most: int) -> list[int]:
    """Return the places of the tools, each a name and a description, that a query is about; best first."""
    words = [word.lower() for word in _words(query)][:MOST_WORDS]
    if not words or not tools:
        return []
    with closing(sqlite3.connect(":memory:")) as index:
        index.execute("CREATE VIRTUAL TABLE tools USING fts5(name, said, tokenize='porter unicode61')")
        rows = [(place, " ".join(_words(name)), said[:_LONGEST]) for place, (name, said) in enumerate(tools)]
        index.executemany("INSERT INTO tools(rowid, name, said) VALUES (?, ?, ?)", rows)
        wanted = " OR ".join(f'"{word}"' for word in words)  # letters and digits only: no quotes in it
        order = f"bm25(tools, {_NAMES}, {_DESCRIPTIONS}), rowid"
        found = index.execute(f"SELECT rowid FROM tools WHERE tools MATCH ? ORDER BY {order} LIMIT ?",  # noqa: S608 (constants)
                              (wanted, most))  # fmt: skip
        return [int(place) for (place,) in found]


def _words(text: str) -> list[str]:
    return _WORD.findall(_HUMP.sub(" ", text[:_LONGEST]))
