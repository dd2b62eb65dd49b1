"""Types and missing values of columns of text. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from agent_kernel.kernel.tables.preview import Column

MISSING = frozenset(["", "NA", "N/A", "n/a", "#NA", "#N/A", "#N/A N/A", "<NA>", "NaN", "-NaN", "nan", "-nan"])
MISSING |= {"null", "NULL", "None", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"}
"""The texts that mean a missing value, as in pandas."""

MARKS = frozenset(
    "? - -- --- . .. ... * n.a. N.A. na n.d. missing Missing MISSING #REF! #DIV/0! #VALUE!".split()  # noqa: SIM905
)
"""Texts that mean a missing value in a column of numbers, dates or truth values."""

_TYPES = (
    ("text", re.compile(r"0\d+")),  # a code, not a number
    ("int", re.compile(r"[+-]?\d{1,18}")),
    ("float", re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)),
    ("bool", re.compile(r"true|false", re.IGNORECASE)),
    ("date", re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?( ?(Z|[+-]\d\d:?\d\d))?)?")),
)
_DECIMAL_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+([eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+")


def type_of(value: str) -> str:
    """Return `int`, `float`, `bool`, `date` or `text` for a value that is not missing."""
    return next((name for name, pattern in _TYPES if pattern.fullmatch(value)), "text")


def has_decimal_comma(value: str) -> bool:
    """Return whether the value is a number such as `1,5`."""
    return _DECIMAL_COMMA.fullmatch(value) is not None


def joined(types: set[str], otherwise: str) -> str:
    """Return the common type of these types, or `otherwise` if they have none."""
    if types == {"int", "float"}:
        return "float"
    return otherwise if len(types) > 1 else next(iter(types), "")


class ColumnReader:
    """Gathers one column's values, batch by batch."""

    def __init__(self, name: str, *, comma: bool) -> None:
        self.name = name
        self._comma = comma  # whether a decimal comma is possible: not where commas separate cells
        self._missing = 0
        self._types: set[str] = set()
        self._marks: Counter[str] = Counter()

    def add(self, values: Iterable[str]) -> None:
        """Count these values in."""
        counted = Counter(map(str.strip, values))
        for value, number in counted.items():
            if value in MISSING:
                self._missing += number
            elif value in MARKS:
                self._marks[value] += number
            elif "text" not in self._types:
                self._types.add(self._type_of(value))

    def _type_of(self, value: str) -> str:
        if self._comma and "," in value:
            if _THOUSANDS.fullmatch(value):
                return "thousands"
            if has_decimal_comma(value):
                return "comma"
        return type_of(value)

    @property
    def ambiguous(self) -> bool:
        """Whether all commas might separate thousands as well as decimals: `1,234`."""
        return "thousands" in self._types and "comma" not in self._types and self.has_comma

    @property
    def has_comma(self) -> bool:
        """Whether the column's numbers are written with a comma."""
        return bool(self._types & {"comma", "thousands"}) and self._types <= {
            *("comma", "thousands", "int"),
        }

    @property
    def marks(self) -> Sequence[str]:
        """The marks that count as missing values in this column of numbers, dates or truth values."""
        return sorted(self._marks) if self._types and "text" not in self._types else []

    def column(self, marks: Iterable[str]) -> Column:
        """Return the column as far as its values were added.

        `marks` are those of all columns: what marks a missing number marks a missing text too.
        """
        missing = self._missing + sum(self._marks[mark] for mark in marks)
        types = {"float"} if self.has_comma else self._types
        types = {"text" if name in ("comma", "thousands") else name for name in types}
        if self._marks.keys() - set(marks):
            types |= {"text"}
        return Column(self.name, joined(types, "text"), missing)
