"""Read delimited text (CSV, TSV and their kin) as a table. Pure; bounded by the text given."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice, zip_longest

from agent_kernel.kernel.tables.dialect import SAMPLE, RatedDialect, choose
from agent_kernel.kernel.tables.layout import Layout, find_layout
from agent_kernel.kernel.tables.preamble import no_records, split_off, without_bars
from agent_kernel.kernel.tables.preview import SHOWN, Extent, NoTable, Preview, quoted
from agent_kernel.kernel.tables.records import SPACES, Records, TextDialect
from agent_kernel.kernel.tables.rows import TableRows
from agent_kernel.kernel.tables.values import ColumnReader, type_of

DELIMITERS = {".csv": ",;\t|", ".tsv": "\t;,|", ".tab": "\t;,|", ".psv": "|;,\t"}
LOOSE = {".txt": ("\t", ",", ";", "|", *SPACES), ".dat": ("\t", ",", ";", "|", *SPACES)}
LOOSE[".data"] = (",", "\t", ";", "|", *SPACES)
"""Suffixes of files that may be tables; runs of spaces may separate their cells."""

LAYOUT_RECORDS = 200
MAX_WIDTH = 20_000
"""The widest table that is read."""

_MIN_RATING = 0.45  # of a file whose name does not say that it is a table
_BATCH = 2_000  # rows examined together: columns at once are fast, but a whole table is large
_USUAL = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".psv": "|"}
_WORDS = {"\t": "tabs", " ": "spaces", "  ": "two or more spaces", ";": "`;`", ",": "`,`", "|": "`|`"}


def read_text(text: str, suffix: str, *, whole: bool, extent: Extent = SHOWN) -> Preview:
    """Return the preview of a delimited text. Raises `NoTable`.

    `whole` is False for the beginning of a file: its last record, which may be torn, is dropped.
    """
    if "\0" in text:
        raise NoTable("it has zero bytes, so it is not text")
    if not whole:
        text = text[: max(text.rfind("\n"), text.rfind("\r")) + 1]
    try:
        return _read(text, suffix, whole, extent)
    except csv.Error as error:  # a cell over 128 KiB, for example
        raise NoTable(f"it cannot be split into cells ({error})") from error


def _read(text: str, suffix: str, whole: bool, extent: Extent) -> Preview:
    preamble = split_off(text)
    text = without_bars(preamble.text)
    choice = _choose(text, suffix, preamble.delimiter)
    dialect, notes = choice.dialect, _dialect_notes(choice, suffix)
    if whole and _is_torn(text, dialect):
        dialect = replace(dialect, quote="")
        notes.append("a quotation mark has no partner, so quotes are read as they are")
    records = Records(text, dialect)
    first = list(islice(records, LAYOUT_RECORDS))
    if not first:
        raise NoTable("it is empty")
    above = [list(Records(line.lstrip("# "), dialect)) for line in preamble.comments]
    layout = find_layout(first, [found[0] for found in above if found], whole=whole)
    if layout.width > MAX_WIDTH:
        raise NoTable(f"it has {layout.width:,} columns")
    titles = [line.strip("# \t\r\n") for line in preamble.comments] + layout.titles
    if titles and above and layout.header == [cell.strip() for cell in (above[-1] or [[]])[0]]:
        titles = titles[: len(above) - 1] + layout.titles
    notes += _title_notes([title for title in titles if title]) + preamble.notes + layout.notes
    rows = TableRows(chain(first[layout.skip :], records), layout, spaced=dialect.delimiter in SPACES)
    preview = _preview(rows, layout, notes, extent, comma=dialect.delimiter != ",", whole=whole)
    if suffix in LOOSE and rows.disagree:
        raise NoTable("it does not look like a table: its rows do not have the same number of cells")
    return preview


def _choose(text: str, suffix: str, delimiter: str) -> RatedDialect:
    """Return the dialect of the text. Raises `NoTable` if the name leaves a doubt and it is not a table."""
    if delimiter:
        return choose(text, delimiter)
    if suffix in DELIMITERS:
        choice = choose(text, DELIMITERS[suffix])
        spaced = choose(text, " ") if not choice.rating else choice
        return spaced if spaced.rating > _MIN_RATING and _has_numbers(text, spaced) else choice
    if reason := no_records(text):
        raise NoTable(reason)
    if _is_one_column(text, {"date"}):
        return choose(text, "\t")
    choice = choose(text, LOOSE[suffix])
    if choice.rating >= _MIN_RATING:
        return choice
    if _is_one_column(text, {"int", "float", "bool"}):
        return choose(text, "\t")
    raise NoTable("it does not look like a table")


def _has_numbers(text: str, choice: RatedDialect) -> bool:
    """Return whether at least half of the cells are numbers: words with spaces between them are no table."""
    cells = [cell for record in islice(Records(text, choice.dialect), 1, 60) for cell in record]
    return sum(type_of(cell) in ("int", "float") for cell in cells) >= 0.5 * len(cells) > 0


def _is_one_column(text: str, types: set[str]) -> bool:
    """Return whether the lines are values of one of these types, below a header or not."""
    lines = text[:SAMPLE].splitlines()[: None if len(text) <= SAMPLE else -1]
    lines = [line.strip() for line in lines if line.strip()][:LAYOUT_RECORDS]
    return len(lines) > 2 and {type_of(line) for line in lines[1:]} <= types


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


def _preview(
    rows: TableRows, layout: Layout, notes: list[str], extent: Extent, *, comma: bool, whole: bool
) -> Preview:
    readers = [ColumnReader(name, comma=comma) for name in layout.header[: extent.columns]]
    preview = Preview(width=layout.width, whole=whole)
    for batch in _batches(iter(rows)):
        preview.rows += [list(row[: extent.columns]) for row in batch[: extent.rows - len(preview.rows)]]
        preview.count += len(batch)
        values = list(zip_longest(*batch, fillvalue=""))
        for n, reader in enumerate(readers):
            reader.add(values[n] if n < len(values) else ("",) * len(batch))
    marks = {mark for reader in readers for mark in reader.marks}
    decimal_commas = any(reader.commas == "decimal" for reader in readers)
    preview.columns = [reader.column(marks, decimal_commas=decimal_commas) for reader in readers]
    preview.notes = notes + rows.notes + _value_notes(readers)
    return preview


def _batches(rows: Iterator[list[str]]) -> Iterator[list[list[str]]]:
    while batch := list(islice(rows, _BATCH)):
        yield batch


def _value_notes(readers: Sequence[ColumnReader]) -> list[str]:
    notes = []
    commas = {reader.commas for reader in readers} - {""}
    if commas & {"decimal", "either"}:
        doubt = "" if "decimal" in commas else " (or thousands)"
        notes.append(f"decimal commas{doubt}")
    if "thousands" in commas:
        notes.append("commas separate thousands")
    points = {reader.points("decimal" in commas) for reader in readers} - {""}
    if points:
        notes.append(f"points separate thousands{' (or not in every column)' if 'either' in points else ''}")
    if any(reader.is_doubtful_date for reader in readers):
        notes.append("dates whose day and month may be in either order")
    if marks := sorted({mark for reader in readers for mark in reader.marks}):
        notes.append(f"{', '.join(f'`{mark}`' for mark in marks[:4])} counted as missing")
    return notes
