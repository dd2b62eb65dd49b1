"""Choose the dialect of a delimited text by parsing its beginning in each, and rate the choice. Pure.

A dialect rates high if its records have the same number of cells, and if the cells are numbers, dates or
words: a cell with another candidate separator inside it speaks against the dialect.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from agent_kernel.kernel.tables.records import SPACES, Records, TextDialect
from agent_kernel.kernel.tables.values import MISSING, has_decimal_comma, type_of

SAMPLE = 64 << 10
"""The number of characters that a dialect is chosen by."""

SAMPLE_RECORDS = 60

_DOUBTFUL_SPACES = 0.8
_CLOSE = 0.85  # a rival rated this near to the best is a doubt
_SPACED = re.compile(r"[;,|]\s")
_ESCAPED = re.compile(r'[^\\"]\\"[^\r\n]')
_SINGLE = re.compile(r"(?:^|[,;\t| ])'[^'\n]*'(?=[,;\t| \r\n])", re.MULTILINE)


@dataclass(frozen=True)
class RatedDialect:
    """The dialect that fits best; `rival` is another delimiter that fits nearly as well, or empty."""

    dialect: TextDialect
    rating: float
    rival: str = ""


def choose(text: str, delimiters: Sequence[str]) -> RatedDialect:
    """Return the dialect for a text whose cells are separated by one of `delimiters`.

    If no delimiter gives two columns, the first is returned with a rating of 0.
    """
    sample = text[:SAMPLE]
    rated = sorted(
        (
            (_rating(sample, dialect, delimiters), -delimiters.index(dialect.delimiter), dialect)
            for dialect in _candidates(sample, delimiters)
        ),
        key=lambda each: each[:2],
        reverse=True,
    )
    best, _, dialect = rated[0]
    rivals = [d.delimiter for r, _, d in rated if d.delimiter != dialect.delimiter and r >= _CLOSE * best > 0]
    return RatedDialect(dialect, best, rivals[0] if rivals else "")


def _candidates(sample: str, delimiters: Sequence[str]) -> list[TextDialect]:
    quotes = ['"']
    if len(_SINGLE.findall(sample)) >= 2 and sample.count('"') < 2:
        quotes = ["'", '"']
    escape = "\\" if _ESCAPED.search(sample) and '""' not in sample.replace(',""', "") else None
    return [
        TextDialect(delimiter, quote, escape, re.search(re.escape(delimiter) + ' +"', sample) is not None)
        for delimiter in delimiters
        for quote in quotes
    ]


def body_width(widths: Sequence[int]) -> int:
    """Return the width of the table's block: the most common one, where wide records count more.

    It is 1 if few records have more than one cell.
    """
    several = Counter(width for width in widths if width > 1)
    if several.total() < 0.3 * len(widths):
        return 1
    return max(several, key=lambda width: (several[width] * (width - 1) / width, width), default=1)


def _rating(sample: str, dialect: TextDialect, delimiters: Sequence[str]) -> float:
    try:
        records = list(islice(Records(sample, dialect), SAMPLE_RECORDS))
    except csv.Error:
        return 0.0
    widths = [len(record) for record in records]
    width = body_width(widths)
    if width == 1:
        return 0.0
    start = next(n for n, found in enumerate(widths) if found >= width)
    block = records[max(0, start - 1) if start and widths[start - 1] > 1 else start :]
    agreeing = [record for record in block if len(record) == width]
    others = set(delimiters) - {dialect.delimiter, *SPACES}
    cells = [cell.strip() for record in agreeing for cell in record]
    clean = sum(_cleanness(cell, others) for cell in cells) / len(cells)
    rating = len(agreeing) / len(block) * (width - 1) / width * clean**2 * _quoting(agreeing, dialect)
    if dialect.delimiter == " ":  # may be part of a cell, where wider gaps separate cells too
        ragged = sum(found != width for found in widths[start:])
        doubtful = ragged > 1 + 0.05 * len(block) and "  " in sample
    else:  # the header is separated otherwise
        words = sum(len(cell.split()) for cell in records[start - 1]) if start else 0
        doubtful = dialect.delimiter == "  " and words >= width - 1
    return rating * _DOUBTFUL_SPACES if doubtful else rating


def _cleanness(cell: str, others: set[str]) -> float:
    if cell in MISSING or type_of(cell) != "text" or has_decimal_comma(cell):
        return 1.0
    inside = others & set(cell)
    if not inside:
        return 0.9
    if all(_SPACED.match(cell[n : n + 2]) for n, c in enumerate(cell) if c in inside):
        return 0.7  # prose: a comma or semicolon, and a space
    return 0.2


def _quoting(records: Sequence[Sequence[str]], dialect: TextDialect) -> float:
    """Return less than 1 if quotation marks are left inside cells: the delimiter cuts through quotes."""
    if not dialect.quote:
        return 1.0
    left = sum(cell.count(dialect.quote) % 2 for record in records for cell in record)
    return 1.0 if not left else max(0.2, 1 - left / len(records))
