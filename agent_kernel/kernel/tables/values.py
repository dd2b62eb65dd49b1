"""Types and missing values of columns of text. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from agent_kernel.kernel.tables.dates import agree, form_of
from agent_kernel.kernel.tables.preview import Column

MISSING = frozenset(["", "NA", "N/A", "n/a", "#NA", "#N/A", "#N/A N/A", "<NA>", "NaN", "-NaN", "nan", "-nan"])
MISSING |= {"null", "NULL", "None", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"}
"""The texts that mean a missing value, as in pandas."""

MARKS = frozenset(
    "? - -- --- . .. ... * n.a. N.A. na n.d. none NONE missing Missing MISSING #REF! #DIV/0! #VALUE!".split()  # noqa: SIM905
)
"""Texts that mean a missing value in a column of numbers, dates or truth values."""

_TYPES = (
    ("text", re.compile(r"0\d+")),  # a code, not a number
    ("int", re.compile(r"[+-]?\d{1,18}")),
    ("float", re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)),
    ("bool", re.compile(r"true|false", re.IGNORECASE)),
)
_DECIMAL_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+([eE][+-]?\d+)?")
_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")

# Kinds of numbers with commas, before the whole column decides what the commas are.
_DECIMAL, _THOUSAND, _THOUSANDS, _POINT = "decimal", "thousand", "thousands", "thousands and point"
_COMMAS = {_DECIMAL, _THOUSAND, _THOUSANDS, _POINT}

_POINTS = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+")
# Kinds of numbers whose points may separate thousands: `1.073` may be a decimal too, `1.073.096` a text.
_ONE_POINT, _MORE_POINTS = "point", "points"


def type_of(value: str) -> str:
    """Return `int`, `float`, `bool`, `date` or `text` for a value that is not missing."""
    found = next((name for name, pattern in _TYPES if pattern.fullmatch(value)), "")
    return found or ("date" if form_of(value) else "text")


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
        self._forms: set[str] = set()
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
        if "," in value:
            if grouped := _GROUPED.fullmatch(value):
                return _POINT if grouped[2] else _THOUSANDS if value.count(",") > 1 else _THOUSAND
            if self._comma and has_decimal_comma(value):
                return _DECIMAL
        elif self._comma and _POINTS.fullmatch(value):
            return _ONE_POINT if value.count(".") == 1 else _MORE_POINTS
        found = type_of(value)
        if found == "date":
            self._forms.add(form_of(value))
        return found

    @property
    def commas(self) -> str:
        """What commas in the numbers are: `decimal`, `thousands`, `either`; empty without commas."""
        found = self._types & _COMMAS
        if not found or not self._types <= {*_COMMAS, "int", "float", _ONE_POINT, _MORE_POINTS}:
            return ""
        if _DECIMAL in found:
            return "decimal" if found <= {_DECIMAL, _THOUSAND} and "float" not in self._types else ""
        if _MORE_POINTS in self._types:
            return "decimal" if found == {_THOUSAND} and "float" not in self._types else ""
        if found == {_THOUSAND} and self._comma and not self._types & {"float", _ONE_POINT}:
            return "either"
        return "thousands"

    def points(self, decimal_commas: bool) -> str:
        """What points in the numbers are: `thousands`, `either` (thousands or something else), or empty.

        `decimal_commas`: some column of the table has them.
        """
        found = self._types & {_ONE_POINT, _MORE_POINTS}
        if not found or not decimal_commas or not self._types <= {*_COMMAS, *found, "int"}:
            return ""
        if self._types <= {*found, "int"}:
            return "either"
        return "thousands" if self.commas == "decimal" else ""

    @property
    def is_doubtful_date(self) -> bool:
        """Whether day and month cannot be told apart in these dates."""
        return self._type() == "date" and all(form.endswith("?") for form in self._forms)

    @property
    def marks(self) -> Sequence[str]:
        """The marks that count as missing values in this column of numbers, dates or truth values.

        A column of nothing but marks has missing values only, unless they are stars, which may be footnotes.
        """
        numeric = self._type(True) != "text"
        return sorted(self._marks) if numeric and (self._types or "*" not in self._marks) else []

    def _type(self, decimal_commas: bool = False) -> str:
        """Return the type of the values that are not marks."""
        if "text" in self._types:
            return "text"
        if self.commas:
            whole = self.commas == "thousands" and not self._types & {_POINT, "float", _ONE_POINT}
            return "int" if whole else "float"
        if _MORE_POINTS in self._types and self.points(decimal_commas):
            return "int"
        types = {"text" if name in {*_COMMAS, _MORE_POINTS} else name for name in self._types}
        types = {"float" if name == _ONE_POINT else name for name in types}
        if types == {"date"} and not agree(self._forms):
            return "text"
        return joined(types, "text")

    def column(self, marks: Iterable[str], *, decimal_commas: bool = False) -> Column:
        """Return the column as far as its values were added.

        `marks` are those of all columns: what marks a missing number marks a missing text too.
        `decimal_commas`: some column of the table has them, so points may separate thousands.
        """
        missing = self._missing + sum(self._marks[mark] for mark in marks)
        has_other_marks = bool(self._marks.keys() - set(marks))
        return Column(self.name, "text" if has_other_marks else self._type(decimal_commas), missing)
