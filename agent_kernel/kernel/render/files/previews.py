"""Preview a table: its shape, the type and missing values of each column, its first rows. Pure.

This module reads only text, CSV and JSON, with the standard library. Excel and Parquet files are read inside
the container; see `inspection`.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from typing import Any

ROWS = 5
COLUMNS = 12
"""The columns and rows shown of a table; the rest is counted."""

DELIMITERS = {".csv": ",;\t|", ".tsv": "\t"}
JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")

MISSING = frozenset(["", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "null", "NULL", "None"])
"""The texts that mean a missing value, as in pandas."""

_BATCH = 2_000  # rows examined together: columns at once are fast, but a whole table is large
_TYPES = (
    ("text", re.compile(r"0\d+")),  # a code, not a number
    ("int", re.compile(r"[+-]?\d{1,18}")),
    ("float", re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf")),
    ("bool", re.compile(r"true|false", re.IGNORECASE)),
    ("date", re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?")),
)


@dataclass
class Column:
    """One column of the rows examined."""

    name: str
    type: str = ""
    """`int`, `float`, `bool`, `date`, `text`, `list`, `object`, `mixed`; empty if it has no values."""
    missing: int | None = 0
    """The number of missing values; None if not counted."""

    @property
    def words(self) -> str:
        """The text under the column's name: type and missing values."""
        lacking = f"{self.missing:,} missing" if self.missing else ""
        return ", ".join(part for part in (self.type or "empty", lacking) if part)


@dataclass
class Preview:
    """A preview of a table: `rows` are its first rows as text, `columns` its first `COLUMNS` columns."""

    columns: list[Column] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    width: int = 0
    count: int = 0
    whole: bool = True
    """False if the table continues after the `count` rows examined."""
    sheets: int = 1
    """The number of tables in the file; this is the first."""

    @property
    def shape(self) -> str:
        """The numbers of rows and columns, as text."""
        more = "" if self.whole else "more than "
        rows, columns = ("" if n == 1 else "s" for n in (self.count, self.width))
        return f"{more}{self.count:,} row{rows} × {self.width:,} column{columns}"


def of_csv(text: str, delimiters: str, *, whole: bool) -> Preview | None:
    """Parse delimited text with a header; None if it is not a table. Blank lines are ignored."""
    if "\0" in text:
        return None
    first = text.partition("\n")[0]
    delimiter = max(delimiters, key=first.count)
    end = len(text) if whole else text.rfind("\n") + 1
    lines = (row for row in csv.reader(io.StringIO(text[:end], newline=""), delimiter=delimiter) if row)
    try:
        header = next(lines, None)
        return of_rows(header, lines, whole=whole) if header else None
    except csv.Error:  # a field over 128 KiB, for example: treated as a file of unknown kind
        return None


def of_rows(header: Sequence[str], rows: Iterable[Sequence[str]], *, whole: bool) -> Preview:
    """Return a preview of rows of text; cells absent at the end of a row are missing values."""
    preview = Preview([Column(name) for name in header[:COLUMNS]], width=len(header), whole=whole)
    for batch in _batches(iter(rows)):
        preview.rows += [list(row[:COLUMNS]) for row in batch[: ROWS - len(preview.rows)]]
        preview.count += len(batch)
        for column, values in zip(preview.columns, zip_longest(*batch, fillvalue=""), strict=False):
            _look(column, values)
        for column in preview.columns[max(map(len, batch)) :]:
            column.missing = (column.missing or 0) + len(batch)
    return preview


def _batches(rows: Iterator[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    while batch := list(islice(rows, _BATCH)):
        yield batch


def _look(column: Column, values: Sequence[str]) -> None:
    column.missing = (column.missing or 0) + sum(map(MISSING.__contains__, values))
    if column.type == "text":
        return
    types = {column.type} - {""}
    for value in set(values) - MISSING:
        types.add(_type_of(value))
        if "text" in types:
            break
    column.type = _joined(types, "text")


def _type_of(value: str) -> str:
    return next((name for name, pattern in _TYPES if pattern.fullmatch(value)), "text")


def _joined(types: set[str], otherwise: str) -> str:
    """Return the common type of these types, or `otherwise` if they have none."""
    if types == {"int", "float"}:
        return "float"
    return otherwise if len(types) > 1 else next(iter(types), "")


# --- JSON ------------------------------------------------------------------------------------------------


def of_json(text: str, *, lines: bool, whole: bool) -> Preview | None:
    """Parse a list of records, JSON lines, or an object by its keys; None if it is not a table."""
    try:
        if lines:
            end = len(text) if whole else text.rfind("\n") + 1
            return _of_list([json.loads(line) for line in text[:end].splitlines() if line.strip()], whole)
        found = json.loads(text) if whole else None
    except (ValueError, RecursionError):
        return None
    if isinstance(found, dict):
        pairs = [{"key": key, "value": value} for key, value in found.items()]
        return _of_list(pairs, whole)
    return _of_list(found, whole) if isinstance(found, list) else None


def _of_list(values: list[Any], whole: bool) -> Preview | None:
    if not values:
        return None
    records = [value if isinstance(value, dict) else {"value": value} for value in values]
    names = list(dict.fromkeys(key for record in records for key in record))
    columns = [_column(name, [record.get(name) for record in records]) for name in names[:COLUMNS]]
    rows = [[_as_text(record.get(column.name)) for column in columns] for record in records[:ROWS]]
    return Preview(columns, rows, len(names), len(records), whole)


def _column(name: str, values: Sequence[Any]) -> Column:
    there = [value for value in values if value is not None]
    return Column(name, _joined({_json_type(value) for value in there}, "mixed"), len(values) - len(there))


def _json_type(value: object) -> str:
    if isinstance(value, str):
        return "date" if _type_of(value) == "date" else "text"
    return {bool: "bool", int: "int", float: "float", list: "list"}.get(type(value), "object")


def _as_text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
