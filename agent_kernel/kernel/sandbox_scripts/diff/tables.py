"""Say in a few words how a table has changed: its rows and columns."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections import Counter
from typing import TYPE_CHECKING, List, Optional, Tuple

from agent_kernel.kernel.sandbox_scripts.table import READERS, description

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_ROWS = 200_000
NAMED = 5
"""The most columns that are named."""

Rows = List[Tuple[str, ...]]


class Shape:
    """A table's columns, its number of rows, and the rows themselves where they are text."""

    def __init__(self, columns: Sequence[str], count: int, width: int, rows: Optional[Rows] = None) -> None:
        self.columns = list(columns)
        self.count = count
        self.width = width
        self.rows = rows

    @property
    def said(self) -> str:
        """The size in words."""
        return "%s × %s" % (_counted(self.count, "row"), _counted(self.width, "column"))


def is_table(path: str) -> bool:
    """Return whether the file's name says that it is a table."""
    return _ending(path) in (".csv", ".tsv", *READERS)


def table_change(path: str, before: Optional[bytes], after: Optional[bytes]) -> str:
    """Return the change in words; empty if one of the two cannot be read as a table.

    None means that there was, or is, no file.
    """
    old = shape(path, before) if before is not None else None
    new = shape(path, after) if after is not None else None
    if old is not None and new is not None:
        return "; ".join(filter(None, (_sizes(old, new), _columns(old, new), _rows(old, new))))
    found = new if before is None else old if after is None else None
    return found.said if found is not None else ""


def shape(path: str, data: bytes) -> Optional[Shape]:
    """Return the shape of a table from its bytes, or None."""
    if _ending(path) in READERS:
        return _described(path, data)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    try:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(path, text))
        rows = [tuple(row) for row, _ in zip(lines, range(MOST_ROWS + 1)) if row]  # noqa: B905 (3.8)
    except csv.Error:
        return None
    if not rows or len(rows) > MOST_ROWS:
        return None
    return Shape(rows[0], len(rows) - 1, len(rows[0]), rows[1:])


def _ending(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _delimiter(path: str, text: str) -> str:
    if _ending(path) == ".tsv":
        return "\t"
    first = text.partition("\n")[0]
    return max(",;\t|", key=first.count)


def _described(path: str, data: bytes) -> Optional[Shape]:
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "table" + _ending(path))
        with open(copy, "wb") as file:
            file.write(data)
        found = description(copy)
    if "reason" in found or not found["whole"]:
        return None
    return Shape([str(column[0]) for column in found["columns"]], found["count"], found["width"])


def _sizes(old: Shape, new: Shape) -> str:
    rows = "%s → %s" % (format(old.count, ","), _counted(new.count, "row"))
    columns = "%d → %s" % (old.width, _counted(new.width, "column"))
    return ", ".join(
        [
            rows if old.count != new.count else _counted(new.count, "row"),
            columns if old.width != new.width else _counted(new.width, "column"),
        ]
    )


def _columns(old: Shape, new: Shape) -> str:
    added = [name for name in new.columns if name not in old.columns]
    removed = [name for name in old.columns if name not in new.columns]
    said = [_named(" new", added)] if added else []
    return ", ".join(said + ([_named(" removed", removed)] if removed else []))


def _named(what: str, names: Sequence[str]) -> str:
    more = " and %d more" % (len(names) - NAMED) if len(names) > NAMED else ""
    return "column%s%s: %s%s" % ("s" if len(names) > 1 else "", what, ", ".join(names[:NAMED]), more)


def _rows(old: Shape, new: Shape) -> str:
    """Compare the rows if the columns are the same: rows that only moved have not changed."""
    if old.rows is None or new.rows is None or old.columns != new.columns:
        return ""
    before, after = Counter(old.rows), Counter(new.rows)
    added, removed = sum((after - before).values()), sum((before - after).values())
    if not added and not removed:
        return "the same rows in another order or form"
    both = min(added, removed)
    said = [(both, "changed"), (added - both, "added"), (removed - both, "removed")]
    return ", ".join("%s %s" % (_counted(count, "row"), what) for count, what in said if count)


def _counted(count: int, what: str) -> str:
    return "%s %s%s" % (format(count, ","), what, "" if count == 1 else "s")
