"""Find the table in the rows of a spreadsheet: title lines, empty columns, header."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Any, List, Tuple

from agent_kernel.kernel.sandbox_scripts.summary import (
    MISSING,
    Json,
    Limit,
    NotCalculated,
    Row,
    Unreadable,
    is_missing,
    kind_of,
    summary,
    written,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

LAYOUT_ROWS = 200
MAX_TITLES = 30


def table_of(rows: Iterator[Row], notes: List[str], limit: Limit) -> Json:
    """Return the description of the table in these rows. Rows without a value are left out."""
    kept = _Filled(rows)
    found = iter(kept)
    first = list(islice(found, LAYOUT_ROWS))
    if not first:
        raise Unreadable("the sheet is empty")
    start = _titles(first)
    titles = [_line(row) for row in first[:start]]
    body = first[start:]
    left = min(next(n for n, value in enumerate(row) if not _empty(value)) for row in body)
    width = max(map(len, body)) - left
    header = [written(value) for value in body[0][left : left + width]]
    header += [""] * (width - len(header))
    told = [*notes, *_title_notes(titles)]
    if left:
        told.append("the table begins in column %s" % _letter(left))
    if _is_row(body[0], body[1:]):
        header = [str(n) for n in range(1, width + 1)]
        told.append("no header line, so columns are numbered")
    else:
        body = body[1:]
    wide = [0]

    def cells() -> Iterator[Row]:
        for row in chain(body, found):
            wide[0] += len(row) > left + width
            # Texts such as NA are missing values, as in pandas.
            yield [None if isinstance(v, str) and v in MISSING else v for v in row[left : left + width]]

    described = summary(header, cells(), told, limit)
    if wide[0]:
        described["notes"].append("%d rows are wider than the table; the surplus is not shown" % wide[0])
    empty = sum(number for place, number in kept.gaps if place > start)
    if empty:
        described["notes"].append("%d empty row%s left out" % (empty, "s" * (empty > 1)))
    return described


class _Filled:
    """The rows with a value, without empty cells at their ends; remembers the empty rows between them."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows = rows
        self.gaps: List[Tuple[int, int]] = []
        """Before which row, counted from 0, how many empty rows are."""

    def __iter__(self) -> Iterator[Row]:
        empty = place = 0
        for row in self._rows:
            while row and _empty(row[-1]):
                row.pop()
            if not row:
                empty += 1
                continue
            if empty:
                self.gaps.append((place, empty))
            empty = 0
            place += 1
            yield row


def _empty(value: Any) -> bool:
    return value is None or value == ""


def _titles(rows: List[Row]) -> int:
    """Return how many rows at the start have one value, if the table below has more columns."""
    for n, row in enumerate(rows[:MAX_TITLES]):
        filled = [column for column, value in enumerate(row) if not _empty(value)]
        if len(filled) > 1:
            following = rows[n + 1 : n + 4]
            # A line such as "Created: 2024-01-02" over a wider table.
            narrow = len(filled) == 2 and following and min(map(_count, following)) > 3
            if not narrow:
                return n
    return 0


def _count(row: Row) -> int:
    return sum(not _empty(value) for value in row)


def _line(row: Row) -> str:
    return " ".join(written(value) for value in row if not _empty(value)).replace("`", "'")[:60]


def _title_notes(titles: List[str]) -> List[str]:
    if not titles:
        return []
    where = (
        "the line above the table"
        if len(titles) == 1
        else "%d lines above the table, the first" % len(titles)
    )
    return ["%s: `%s`" % (where, " ".join(titles[0].split()))]


def _is_row(first: Row, rest: List[Row]) -> bool:
    """Return whether the first row has values of the same types as the rows below, and no word."""
    kinds = [None if is_missing(v) or isinstance(v, NotCalculated) else kind_of(v) for v in first]
    if "text" in kinds or not rest:
        return False
    years = all(isinstance(v, int) and (v < 100 or 1000 <= v < 3000) for v in first if not is_missing(v))
    return not years and any(kinds)


def _letter(column: int) -> str:
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(65 + rest) + letters
    return letters
