"""The rows of a delimited table, cut to its width, and counts of those that do not fit. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from agent_kernel.kernel.tables.layout import Layout, is_rule
from agent_kernel.kernel.tables.values import type_of

MAX_BELOW = 30
"""The largest number of lines below a table that are recognised as remarks."""

MAX_DISAGREEING = 0.1
"""The largest share of rows of another width in a file whose name does not say that it is a table."""

_RULES = "-=+:_"
_PROSE = 40  # characters; a single cell so long below a table is a remark


class TableRows:
    """The rows of the table, as wide as it is or narrower."""

    def __init__(self, records: Iterable[list[str]], layout: Layout, *, spaced: bool) -> None:
        self._records, self._layout, self._spaced = records, layout, spaced
        self.count = self.wider = self.narrower = self.widest = self.below = 0

    def __iter__(self) -> Iterator[list[str]]:
        """Yield the rows. Lines of remarks at the end are counted as `below` the table."""
        held: list[list[str]] = []
        numeric = False
        for record in self._records:
            if self._may_be_below(record, numeric) and len(held) < MAX_BELOW:
                held.append(record)
                continue
            yield from map(self._fitted, held)
            held = []
            numeric = type_of(record[0].strip()) in ("int", "float")
            yield self._fitted(record)
        self.below = len(held)

    def _may_be_below(self, record: Sequence[str], numeric: bool) -> bool:
        """Return whether a record at the end is a remark. `numeric`: the row above starts with a number."""
        width = self._layout.width
        if width < 3:
            return False
        if len(record) == width and record[1].strip() and record[0][:1] not in _RULES and not self._spaced:
            return False  # nearly all rows
        filled = [cell.strip() for cell in record if cell.strip()]
        if not filled:
            return False
        if len(filled) == 1 and (len(record) == 1 or len(filled[0]) > _PROSE):
            return True
        if is_rule(record):
            return True
        if self._spaced:
            return numeric and type_of(record[0].strip()) == "text"
        return len(record) == len(filled) <= width // 4

    def _fitted(self, record: list[str]) -> list[str]:
        width = self._layout.width
        if len(record) > width:
            self._count_wide(record)
            record = record[:width]
        elif len(record) < width:
            self.narrower += 1
        self.count += 1
        return record

    def _count_wide(self, record: Sequence[str]) -> None:
        if any(cell.strip() for cell in record[self._layout.width :]):
            self.wider += 1
            self.widest = max(self.widest, len(record))

    @property
    def disagree(self) -> bool:
        """Return whether so many rows do not fit that only a file's name can show that it is a table.

        Rows with extra cells count more than short rows: one row may lack cells in a table of any size.
        """
        some = MAX_DISAGREEING * self.count
        too_wide = self.wider > 0 and self.wider >= some
        return too_wide or self.below > self.count or self.wider + self.narrower > max(1, some)

    @property
    def notes(self) -> list[str]:
        """Return the caption's notes on rows that do not fit."""
        notes = []
        if self.wider:
            rows = "1 row has" if self.wider == 1 else f"{self.wider:,} rows have"
            notes.append(f"{rows} more cells (up to {self.widest:,}) than the table; they are not shown")
        if self.narrower:
            rows = "1 row has" if self.narrower == 1 else f"{self.narrower:,} rows have"
            notes.append(f"{rows} fewer cells than the table, counted as missing")
        if self.wider + self.narrower > 0.2 * self.count > 1:
            notes.append("many rows do not agree, so it may be no table of this kind")
        if self.below:
            lines = "1 line" if self.below == 1 else f"{self.below} lines"
            notes.append(f"{lines} below the table left out")
        return notes
