"""The preview of a table: shape, the type and missing values of each column, first rows, and doubts. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

ROWS = 5
COLUMNS = 12
"""The columns and rows shown of a table; the rest is counted."""


@dataclass(frozen=True)
class Extent:
    """How many of a table's first rows and columns are taken."""

    rows: int = ROWS
    columns: int = COLUMNS


SHOWN = Extent()

MAX_QUOTED = 60
"""The number of characters that a note quotes of a file."""


class NoTable(ValueError):
    """The file is not shown as a table. The message is the reason, for the user and the model."""


def quoted(text: str) -> str:
    """Return text of a file as one short line between backticks, safe in Markdown and prompts."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split()).replace("`", "'")
    return f"`{line if len(line) <= MAX_QUOTED else line[: MAX_QUOTED - 1] + '…'}`"


@dataclass
class Column:
    """One column of the rows examined."""

    name: str
    type: str = ""
    """`int`, `float`, `bool`, `date`, `time`, `duration`, `text`, `list`, `object`, `mixed`; empty without
    values."""
    missing: int | None = 0
    """The number of missing values; None if not counted."""

    @property
    def words(self) -> str:
        """The text under the column's name: type and missing values."""
        lacking = f"{self.missing:,} missing" if self.missing else ""
        return ", ".join(part for part in (self.type or "empty", lacking) if part)


@dataclass
class Preview:
    """A preview of a table: `rows` are its first rows as text, `columns` its first columns."""

    columns: list[Column] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    width: int = 0
    count: int = 0
    whole: bool = True
    """False if the table continues after the `count` rows examined."""
    notes: list[str] = field(default_factory=list)
    """How the file was read, and what is in doubt: encoding, separator, title lines, ragged rows."""
    examined: int | None = None
    """The number of rows that types and missing values come from; None for all `count` rows."""

    @property
    def shape(self) -> str:
        """The numbers of rows and columns, as text."""
        more = "" if self.whole else "more than "
        rows, columns = ("" if n == 1 else "s" for n in (self.count, self.width))
        return f"{more}{self.count:,} row{rows} × {self.width:,} column{columns}"
