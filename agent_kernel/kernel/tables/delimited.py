"""Read delimited text (CSV, TSV and their kin) as a table. Pure; bounded by the text given."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice, zip_longest

from agent_kernel.kernel.tables.dialect import RatedDialect, choose
from agent_kernel.kernel.tables.layout import Layout, find_layout
from agent_kernel.kernel.tables.preview import COLUMNS, ROWS, NoTable, Preview, quoted
from agent_kernel.kernel.tables.records import Records, TextDialect
from agent_kernel.kernel.tables.values import ColumnReader

DELIMITERS = {".csv": ",;\t|", ".tsv": "\t;,|", ".tab": "\t;,|", ".psv": "|;,\t"}
LOOSE = {".txt": "\t,;| ", ".dat": "\t,;| ", ".data": ",\t;| "}
"""Suffixes of files that may be tables; runs of spaces may separate their cells."""

LAYOUT_RECORDS = 200
MAX_WIDTH = 20_000
"""The widest table that is read."""

_MIN_RATING = 0.45  # of a file whose name does not say that it is a table
_BATCH = 2_000  # rows examined together: columns at once are fast, but a whole table is large
_USUAL = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".psv": "|"}
_WORDS = {"\t": "tabs", " ": "spaces", ";": "`;`", ",": "`,`", "|": "`|`"}


def read_text(text: str, suffix: str, *, whole: bool) -> Preview:
    """Return the preview of a delimited text. Raises `NoTable`.

    `whole` is False for the beginning of a file: its last record, which may be torn, is dropped.
    """
    if "\0" in text:
        raise NoTable("it has zero bytes, so it is no text")
    if not whole:
        text = text[: max(text.rfind("\n"), text.rfind("\r")) + 1]
    try:
        return _read(text, suffix, whole)
    except csv.Error as error:  # a cell over 128 KiB, for example
        raise NoTable(f"it cannot be split into cells ({error})") from error


def _read(text: str, suffix: str, whole: bool) -> Preview:
    delimiters = DELIMITERS.get(suffix) or LOOSE[suffix]
    text, told = _without_directive(text)
    comments, text = _without_comments(text)
    choice = choose(text, told or delimiters)
    if suffix in LOOSE and choice.rating < _MIN_RATING:
        raise NoTable("it does not look like a table")
    dialect, notes = choice.dialect, _dialect_notes(choice, suffix)
    if whole and _is_torn(text, dialect):
        dialect = replace(dialect, quote="")
        notes.append("a quotation mark has no partner, so quotes are read as they are")
    records = Records(text, dialect)
    first = list(islice(records, LAYOUT_RECORDS))
    if not first:
        raise NoTable("it is empty")
    above = [list(Records(line.lstrip("# "), dialect)) for line in comments]
    layout = find_layout(first, [found[0] for found in above if found])
    if layout.width > MAX_WIDTH:
        raise NoTable(f"it has {layout.width:,} columns")
    titles = [line.strip("# \t\r\n") for line in comments] + layout.titles
    if titles and comments and layout.header == [cell.strip() for cell in (above[-1] or [[]])[0]]:
        titles = titles[: len(comments) - 1] + layout.titles
    notes += _title_notes([title for title in titles if title]) + layout.notes
    rows = _Rows(chain(first[layout.skip :], records), layout)
    return _preview(rows, layout, notes, comma=dialect.delimiter != ",", whole=whole)


def _without_directive(text: str) -> tuple[str, str]:
    """Take off the first line `sep=;` that spreadsheets write; return the delimiter it names too."""
    line, _, rest = text.partition("\n")
    line = line.strip().strip('"').lower()
    if line.startswith("sep=") and len(line) == 5 and line[4] in ",;|":
        return rest, line[4]
    return text, ""


def _without_comments(text: str) -> tuple[list[str], str]:
    """Return the lines above the table that begin with `#`, and the text from the table on.

    A first line `#id,name` is a header that happens to begin so, and no comment.
    """
    lines: list[str] = []
    position = 0
    while text.startswith("#", position) or (lines and text.startswith(("\n", "\r\n"), position)):
        end = text.find("\n", position) + 1
        if not end:
            break
        lines.append(text[position:end])
        position = end
    lines = [line for line in lines if line.strip()]
    if len(lines) == 1 and not lines[0].startswith(("# ", "##")):
        return [], text
    return lines, text[position:]


def _is_torn(text: str, dialect: TextDialect) -> bool:
    if dialect.quote not in text:
        return False
    records = Records(text, dialect)
    for _ in records:
        pass
    return records.torn


def _dialect_notes(choice: RatedDialect, suffix: str) -> list[str]:
    notes = []
    delimiter = choice.dialect.delimiter
    if choice.rating and delimiter != _USUAL.get(suffix):
        notes.append(f"separated by {_WORDS[delimiter]}")
    if choice.rival:
        notes.append(f"the separator may also be {_WORDS[choice.rival]}")
    if choice.dialect.quote == "'":
        notes.append("quoted by `'`")
    return notes


def _title_notes(titles: Sequence[str]) -> list[str]:
    if not titles:
        return []
    if len(titles) == 1:
        return [f"the line above the table: {quoted(titles[0])}"]
    return [f"{len(titles)} lines above the table, the first: {quoted(titles[0])}"]


class _Rows:
    """The rows of the table, as wide as it is or narrower; counts those that do not fit."""

    def __init__(self, records: Iterable[list[str]], layout: Layout) -> None:
        self._records, self._layout = records, layout
        self.count = self.wider = self.narrower = self.widest = self.below = 0

    def __iter__(self) -> Iterator[list[str]]:
        """Yield the rows. Lines of one cell at the end are counted as `below` the table."""
        width = self._layout.width
        held: list[list[str]] = []
        for record in self._records:
            if width > 2 and len(record) == 1 and len(held) < 20:
                held.append(record)
                continue
            yield from held
            self.narrower += len(held)
            held = []
            if len(record) > width:
                self._count_wide(record)
                record = record[:width]
            elif len(record) < width:
                self.narrower += 1
            self.count += 1
            yield record
        self.below = len(held)

    def _count_wide(self, record: Sequence[str]) -> None:
        if any(cell.strip() for cell in record[self._layout.width :]):
            self.wider += 1
            self.widest = max(self.widest, len(record))

    @property
    def notes(self) -> list[str]:
        """What does not fit, for the caption."""
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


def _preview(rows: _Rows, layout: Layout, notes: list[str], *, comma: bool, whole: bool) -> Preview:
    readers = [ColumnReader(name, comma=comma) for name in layout.header[:COLUMNS]]
    preview = Preview(width=layout.width, whole=whole)
    for batch in _batches(iter(rows)):
        preview.rows += [list(row[:COLUMNS]) for row in batch[: ROWS - len(preview.rows)]]
        preview.count += len(batch)
        values = list(zip_longest(*batch, fillvalue=""))
        for n, reader in enumerate(readers):
            reader.add(values[n] if n < len(values) else ("",) * len(batch))
    marks = {mark for reader in readers for mark in reader.marks}
    preview.columns = [reader.column(marks) for reader in readers]
    preview.notes = notes + rows.notes + _value_notes(readers)
    return preview


def _batches(rows: Iterator[list[str]]) -> Iterator[list[list[str]]]:
    while batch := list(islice(rows, _BATCH)):
        yield batch


def _value_notes(readers: Sequence[ColumnReader]) -> list[str]:
    notes = []
    if any(reader.has_comma for reader in readers):
        doubt = " (or thousands)" if all(r.ambiguous for r in readers if r.has_comma) else ""
        notes.append(f"decimal commas{doubt}")
    if marks := sorted({mark for reader in readers for mark in reader.marks}):
        notes.append(f"{', '.join(f'`{mark}`' for mark in marks[:4])} counted as missing")
    return notes
