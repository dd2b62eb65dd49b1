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
    names_of,
    summary,
    written,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

LAYOUT_ROWS = 200
MAX_TITLES = 30
MAX_SHEETS = 8
ORANGE_TYPES = {"c", "d", "s", "t", "continuous", "discrete", "string", "time", "basket"}
ORANGE_FLAGS = {"", "class", "meta", "weight", "ignore", "i", "m", "w", "c"}


def first_table(sheets: Iterable[Callable[[Limit], Json]]) -> Tuple[int, Json]:
    """Return the number, from 0, and the description of the first sheet that has a table.

    The sheets share one limit. A sheet with remarks in one column comes after sheets with a table. Raises
    `Unreadable` if all are empty.
    """
    remarks = None
    limit = Limit()
    for number, sheet in enumerate(islice(sheets, MAX_SHEETS)):
        if remarks and limit.passed:
            break
        try:
            found = sheet(limit)
        except Unreadable:
            continue
        if not _is_remarks(found):
            return number, found
        remarks = remarks or (number, found)
    if not remarks:
        raise Unreadable("its sheets are empty")
    return remarks


def _is_remarks(found: Json) -> bool:
    """Return whether only one column has values, and these are texts."""
    filled = [kind for _, kind, missing in found["columns"] if missing is None or missing < found["count"]]
    named = [name for name, _, _ in found["columns"] if name]
    return len(named) < 2 and filled in (["text"], [])


def sheet_notes(names: List[str], number: int) -> List[str]:
    """Return which of several sheets is shown."""
    if len(names) < 2:
        return []
    note = names_of(names, "sheets")
    if not number:
        return [note]
    before = "the one before it has" if number == 1 else "the %d before it have" % number
    return [note.replace("the first", "sheet %d" % (number + 1), 1), "%s no table" % before]


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
        lines = _orange_lines([row[left : left + width] for row in body[:2]])
        if lines:
            told.append("%d more header lines: `%s`" % (lines, _line(body[0])))
            body = body[lines:]
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
    if not rest:
        return any(kind not in (None, "text") for kind in kinds)
    if "text" in kinds:
        return False
    return any(kinds) and (not _are_labels(first) or all(map(_are_labels, rest[:20])))


def _are_labels(row: Row) -> bool:
    """Return whether the values may name columns: small whole numbers or years."""
    return all(isinstance(v, int) and (v < 100 or 1000 <= v < 3000) for v in row if not is_missing(v))


def _orange_lines(rows: List[Row]) -> int:
    """Return 2 if the rows are the types and flags that the program Orange writes below the names."""
    if len(rows) < 2:
        return 0
    types, flags = ([written(value) for value in row] for row in rows)
    known = any(types) and all(cell in ORANGE_TYPES or " " in cell for cell in types)
    return 2 if known and all(flag in ORANGE_FLAGS or "=" in flag for flag in flags) else 0


def _letter(column: int) -> str:
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(65 + rest) + letters
    return letters
