"""Find title lines, the header and the width of a table in its first records. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from agent_kernel.kernel.tables.dialect import body_width
from agent_kernel.kernel.tables.preview import quoted
from agent_kernel.kernel.tables.values import MARKS, MISSING, has_decimal_comma, type_of

MAX_TITLES = 60
"""The largest number of lines over a table that are looked through for its first row."""

Record = Sequence[str]

_ORANGE_TYPES = frozenset(["c", "d", "s", "t", "continuous", "discrete", "string", "time", "basket"])
_ORANGE_FLAGS = frozenset(["", "class", "meta", "weight", "ignore", "i", "m", "w", "c"])


@dataclass
class Layout:
    """Where a table is in its records: behind `skip` of them come the rows, without the header."""

    header: list[str]
    width: int
    skip: int
    titles: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_layout(records: Sequence[Record], comments: Sequence[Record] = (), *, whole: bool = True) -> Layout:
    """Return the layout of a table that begins with these records; at least one is needed.

    `comments` are the comment lines above, as records: one of the last may be the header. `whole` is False if
    the file goes on behind the records.
    """
    width = body_width([len(record) for record in records])
    start = _first_row_of_block(records, width)
    if _is_header_of_short_rows(records[start:], width):
        width = len(records[start])
    has_size = _is_size(records[start:]) or (whole and _is_count(records[start:]))
    start += has_size
    titles = [_line(record) for record in records[:start] if _filled(record)]
    layout = Layout([], width, start, titles)
    body = [record for record in records[start + 1 :] if len(record) == width] or [records[start]]
    first = records[start]
    above = records[start - 1] if start and not has_size else []
    if _is_short_header(above, first, width):
        layout.titles.pop()
        _use_short_header(layout, above, records[start:])
    elif len(first) < width:
        layout.skip += 1
        _use_short_header(layout, first, records[start + 1 :])
    elif (named := _header_among(comments, width)) and _is_row_under(named, first, body):
        layout.header = [cell.strip() for cell in named]
    elif _is_header(first, body):
        layout.header, layout.skip = [cell.strip() for cell in first[:width]], start + 1
        _note_surplus_of_header(layout, first)
        _skip_more_header_lines(layout, records[start + 1 :])
        if _may_be_a_row(first, body):
            layout.notes.append("the first line may be a row, not a header")
    else:
        layout.header = [str(number) for number in range(1, width + 1)]
        layout.notes.append("no header line, so columns are numbered")
    return layout


def _first_row_of_block(records: Sequence[Record], width: int) -> int:
    """Return the index of the header or first row: the first record that is not a title line."""
    if width == 1:
        return 0
    for n, record in enumerate(records[:MAX_TITLES]):
        if len(record) < width or (_filled(record) <= 1 and width > 2) or is_rule(record):
            continue
        if len(record) == width or not _is_header_below(records[n : n + 8], width):
            return n
    return 0


def _is_header_below(records: Sequence[Record], width: int) -> bool:
    """Return whether the first record is of another, wider table above a header and rows of this width."""
    if len(records) < 3 or not (len(records[1]) > width or _has_values(records[0])):
        return False
    return any(
        len(names) == len(row) == width and not _has_values(names) and _has_values(row)
        for names, row in pairwise(records[1:])
    )


def _is_header_of_short_rows(records: Sequence[Record], width: int) -> bool:
    """Return whether the first record names more columns than most rows have, and as many as one has."""
    first = records[0]
    if len(first) <= width or _has_values(first) or not all(cell.strip() for cell in first):
        return False
    return any(len(record) == len(first) for record in records[1:])


def _is_size(records: Sequence[Record]) -> bool:
    """Return whether the first record has numbers only, over a header of words and rows with numbers."""
    if len(records) < 3 or len(records[0]) < 2 or not _has_values(records[0]) or not _is_numeric(records[0]):
        return False
    return len(records[0]) == len(records[1]) and not _has_values(records[1]) and _has_values(records[2])


def _is_count(records: Sequence[Record]) -> bool:
    """Return whether the first record begins with the number of the rows of numbers below it."""
    rows = records[1:]
    if len(rows) < 5 or not records[0][0].strip().isdecimal() or _is_numeric(records[0]):
        return False
    return int(records[0][0]) == len(rows) and all(_is_numeric(row) for row in rows)


def _header_among(comments: Sequence[Record], width: int) -> Record | None:
    """Return the comment line that names the columns: the last without numbers, or the last with a word."""
    fitting = [line for line in comments[-3:] if len(line) == width]
    names = [line for line in fitting if not _has_values(line)]
    words = [line for line in fitting[-1:] if line is comments[-1] and not _is_numeric(line)]
    return next(iter(names[-1:] or words), None)


def _is_row_under(named: Record, first: Record, body: Sequence[Record]) -> bool:
    """Return whether a comment line names the columns, so that the first record is a row."""
    if not _is_header(first, body):
        return True
    return not _has_values(named) and _has_values(first) and not _is_over_values(first, body)


def _filled(record: Record) -> int:
    return sum(1 for cell in record if cell.strip())


def _line(record: Record) -> str:
    return " ".join(" ".join(record).split())


def _is_short_header(above: Record, first: Record, width: int) -> bool:
    """Return whether `above` is a header with fewer cells than the rows, the first of which is `first`."""
    names = [cell.strip() for cell in above]
    if len(names) < 2 or not all(names) or len(set(names)) < len(names) or len(names) < width // 2:
        return False
    return not _is_numeric(above) and _has_values(first)


def _use_short_header(layout: Layout, header: Record, rows: Sequence[Record]) -> None:
    names = [cell.strip() for cell in header]
    full = [row for row in rows if len(row) == layout.width]
    lacking = layout.width - len(names)
    if lacking == 1 and full and all(not row[-1].strip() for row in full):
        layout.header, layout.width = names, layout.width - 1  # each row ends with a separator
        return
    if lacking == 1 and _are_row_names([row[0] for row in full]):
        layout.header = ["", *names]
        layout.notes.append("the header has no name for the first column: row names")
        return
    layout.header = names + [""] * lacking
    cells = f"{layout.width:,} cells, the header {len(names):,}"
    layout.notes.append(f"rows are wider than the header: they have {cells}, so the last have no name")


def _note_surplus_of_header(layout: Layout, header: Record) -> None:
    rest = header[layout.width :]
    if any(cell.strip() for cell in rest):
        layout.notes.append(f"the header is wider than the rows: it has {len(header):,} cells")


def _skip_more_header_lines(layout: Layout, rows: Sequence[Record]) -> None:
    """Leave out one or two lines of units or types between the header and rows of numbers."""
    if rows and is_rule(rows[0]):
        layout.skip += 1
        return
    count = _orange_lines(rows) or int(_are_units(rows))
    if count:
        layout.skip += count
        lines = "1 more header line" if count == 1 else f"{count} more header lines"
        layout.notes.append(f"{lines}: {quoted(_line(rows[0]))}")


def is_rule(record: Record) -> bool:
    """Return whether the record is a line drawn below the header."""
    cells = [cell.strip() for cell in record if cell.strip()]
    return bool(cells) and all(len(cell) > 1 and set(cell) <= set("-=+:_") for cell in cells)


def _orange_lines(rows: Sequence[Record]) -> int:
    """Return how many header lines of the program Orange these rows begin with: types, perhaps flags."""
    if len(rows) < 3:
        return 0
    types, flags = ([cell.strip() for cell in row] for row in rows[:2])
    strict = all(cell in _ORANGE_TYPES for cell in types)
    if not strict and not all(cell in _ORANGE_TYPES or " " in cell for cell in types):
        return 0
    if all(flag in _ORANGE_FLAGS or "=" in flag for flag in flags) and len(flags) <= len(types):
        return 2
    return int(strict and not any(cell.strip() in _ORANGE_TYPES for row in rows[1:20] for cell in row))


def _are_units(rows: Sequence[Record]) -> bool:
    """Return whether the first row has words over each of several columns of numbers."""
    if len(rows) < 3:
        return False
    first, rest = rows[0], rows[1:]
    numeric = [n for n in range(len(first)) if _column_kind(rest, n) in ("int", "float")]
    return len(numeric) > 1 and all(
        _kind(first[n]) == "text" and first[n].strip() not in MARKS for n in numeric
    )


def _are_row_names(cells: Sequence[str]) -> bool:
    """Return whether these are texts, different dates, or numbers that count up from 0 or 1."""
    if all(type_of(cell.strip()) == "date" for cell in cells):
        return len(set(cells)) == len(cells)
    numbers = [int(cell) if cell.strip().isdecimal() and len(cell) < 10 else None for cell in cells]
    if all(
        number is None and type_of(cell.strip()) == "text"
        for number, cell in zip(numbers, cells, strict=True)
    ):
        return True
    return len(cells) > 1 and numbers in (list(range(len(cells))), list(range(1, len(cells) + 1)))


def _is_header(first: Record, body: Sequence[Record]) -> bool:
    """Return whether a full record is a header rather than the first row."""
    if not _has_values(first):
        # Words alone are a header unless something says otherwise.
        return _is_over_values(first, body) or not _is_like_rows(first, body)
    if _is_numeric(first):
        return all(_is_label(cell) for cell in first if cell.strip()) and not _is_labels_again(body)
    if _is_over_values(first, body) or _is_rising(first, body):
        return True
    return all(_kind(cell) in ("text", "") or _is_label(cell) for cell in first)


def _is_rising(first: Record, body: Sequence[Record]) -> bool:
    """Return whether words and at least three rising whole numbers are above numbers that do not rise."""

    def rises(record: Record) -> bool:
        numbers = [float(cell) for cell in record if type_of(cell.strip()) in ("int", "float")]
        return len(numbers) > 2 and all(a < b for a, b in pairwise(numbers))

    whole = {_kind(cell) for cell in first} == {"text", "int"}
    columns = [n for n, cell in enumerate(first) if _kind(cell) == "int"]
    others = sum(map(rises, body)) < 0.9 * len(body) or all(_column_kind(body, n) == "float" for n in columns)
    return whole and rises(first) and others


def _is_over_values(first: Record, body: Sequence[Record]) -> bool:
    """Return whether a word is above a column of numbers, dates or truth values."""
    return any(
        _kind(cell) == "text" and cell.strip() not in MARKS and _column_kind(body, n) not in ("text", "")
        for n, cell in enumerate(first)
    )


def _is_like_rows(first: Record, body: Sequence[Record]) -> bool:
    """Return whether a cell is also a value of its column, or is built as nearly all of them: `74-82-8`."""
    if any(list(first) == list(row) for row in body) or len(body) < 3:
        return False
    for n, cell in enumerate(first):
        cell = cell.strip()
        if _kind(cell) != "text" or cell in MARKS:
            continue
        below = [row[n].strip() for row in body if n < len(row)]
        if below.count(cell) > 1 + 0.02 * len(below):
            return True
        shape = _shape(cell)
        if "9" in shape and sum(_shape(each) == shape for each in below) > 0.8 * len(below):
            return True
    return False


def _shape(cell: str) -> str:
    """Return how a text is built: digits as `9`, letters as `a`."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", cell))


def _may_be_a_row(header: Record, body: Sequence[Record]) -> bool:
    """Return whether each cell of this header has the type of its column, and numbers are no years."""
    kinds = [_kind(cell) for cell in header]
    values = [cell for cell, kind in zip(header, kinds, strict=True) if kind not in ("text", "")]
    over_values = any(
        kind == "text" and _column_kind(body, n) not in ("text", "") for n, kind in enumerate(kinds)
    )
    return bool(values) and not over_values and not all(_is_year(cell) for cell in values)


def _is_labels_again(body: Sequence[Record]) -> bool:
    """Return whether the rows too have nothing but small whole numbers, so that a header cannot be told."""
    return all(_is_label(cell) for record in body[:20] for cell in record if cell.strip())


def _is_label(cell: str) -> bool:
    """Return whether a number may name a column: a year, or a small whole number."""
    cell = cell.strip()
    return cell.isdecimal() and (len(cell) <= 2 or (len(cell) == 4 and cell[0] in "12"))


def _is_year(cell: str) -> bool:
    return len(cell.strip()) == 4 and _is_label(cell)


def _has_values(record: Record) -> bool:
    """Return whether any cell is a number or a date."""
    return any(_kind(cell) not in ("text", "") for cell in record)


def _is_numeric(record: Record) -> bool:
    """Return whether no cell is text."""
    return all(_kind(cell) != "text" for cell in record)


def _kind(cell: str) -> str:
    cell = cell.strip()
    if cell in MISSING:
        return ""
    return "float" if has_decimal_comma(cell) else type_of(cell)


def _column_kind(body: Sequence[Record], column: int) -> str:
    kinds = {_kind(record[column]) for record in body[:40] if column < len(record)} - {""}
    return next((kind for kind in ("text", "float") if kind in kinds), next(iter(kinds), ""))
