"""Summarise rows of values: names, types, missing values, first rows. Used by all readers here."""

from __future__ import annotations

import time
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Dict, List, Optional

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Json = Dict[str, Any]
Row = List[Any]
ROWS, COLUMNS, CELL = 5, 12, 80
MAX_ROWS = 200_000
SECONDS = 5.0
MISSING = {"", "NA", "N/A", "n/a", "#NA", "#N/A", "#N/A N/A", "<NA>", "NaN", "-NaN", "nan", "-nan"}
MISSING |= {"null", "NULL", "None", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"}
KINDS = {
    bool: "bool",
    int: "int",
    float: "float",
    Decimal: "float",
    datetime: "date",
    date: "date",
    time_of_day: "time",
    timedelta: "duration",
    list: "list",
    tuple: "list",
    dict: "object",
}


class Unreadable(Exception):
    """The file cannot be shown as a table; the message is the reason."""


class Part:
    """The rows and columns of a table that are taken as text: the first few, unless others were asked for."""

    first, rows, columns = 0, ROWS, COLUMNS

    def has(self, number: int) -> bool:
        """Return whether the row, counted from 0, is one of them."""
        return self.first <= number < self.first + self.rows


PART = Part()


class Limit:
    """The rows and the time that a reader may spend."""

    def __init__(self, rows: Optional[int] = None, seconds: Optional[float] = None) -> None:
        self.rows = MAX_ROWS if rows is None else rows
        self._end = time.monotonic() + (SECONDS if seconds is None else seconds)

    @property
    def passed(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() > self._end


class NotCalculated:
    """A formula without a stored value."""


def summary(header: Sequence[str], rows: Iterator[Row], notes: Sequence[str] = (), limit: Any = None) -> Json:
    """Return the description of a table from its names and rows, as far as `limit` allows.

    None and NaN are missing values.
    """
    limit = limit or Limit()
    kinds: List[set[str]] = [set() for _ in header[: PART.columns]]
    there = [0] * len(kinds)
    first: List[List[str]] = []
    count, whole, uncalculated = 0, True, 0
    for row in rows:
        if count == limit.rows or (count % 500 == 0 and limit.passed):
            whole = False
            break
        if PART.has(count):
            first.append([written(value) for value in row[: len(kinds)]])
        count += 1
        for column, value in enumerate(row[: len(kinds)]):
            if isinstance(value, NotCalculated):
                uncalculated += 1
                there[column] += 1
            elif not is_missing(value):
                there[column] += 1
                kinds[column].add(kind_of(value))
    columns = [[name[:CELL], joined(k), count - t] for name, k, t in zip(header, kinds, there)]  # noqa: B905 (3.8)
    told = list(notes)
    if uncalculated:
        told.append("%d formula%s not calculated" % (uncalculated, "s are" if uncalculated > 1 else " is"))
    return described(columns, len(header), count, first, whole=whole, notes=told)


def described(
    columns: Any, width: int, count: int, rows: Any, *, whole: bool = True, notes: Any = ()
) -> Json:
    """Return the description as the kernel reads it."""
    return {
        "columns": columns,
        "width": width,
        "count": count,
        "rows": rows,
        "whole": whole,
        "notes": list(notes),
    }


def is_missing(value: Any) -> bool:
    """Return whether a value is missing."""
    return value is None or value != value


def kind_of(value: object) -> str:
    """Return the type's name that the kernel shows."""
    return next((KINDS[base] for base in type(value).__mro__ if base in KINDS), "text")


def joined(kinds: Iterable[str]) -> str:
    """Return the common type, or `mixed`."""
    found = set(kinds)
    if found == {"int", "float"}:
        return "float"
    return next(iter(found), "") if len(found) < 2 else "mixed"


def written(value: object) -> str:
    """Return a value as it is shown."""
    if value is None or value != value:
        return ""
    if isinstance(value, NotCalculated):
        return "(not calculated)"
    if isinstance(value, datetime) and (value.hour, value.minute, value.second, value.microsecond) == (
        0,
        0,
        0,
        0,
    ):
        return str(value)[:10]
    text = str(value)
    if isinstance(value, (datetime, time_of_day, timedelta)) and "." in text:
        text = text.rstrip("0")
    return text[:CELL]


def names_of(names: Sequence[str], what: str) -> str:
    """Return the note that the first of several sheets or tables is shown."""
    shown = ", ".join("`%s`" % " ".join(name.replace("`", "'").split())[:40] for name in names[:8])
    more = ", …" if len(names) > 8 else ""
    return "the first of %d %s (%s%s)" % (len(names), what, shown, more)
