"""Describe a table file: `python3 table.py FILE` prints JSON. Runs in the sandbox with the file.

    {"columns": [[name, type, missing or null], ...], "width": columns in all, "count": rows,
     "rows": [[text, ...], ...], "whole": true, "sheets": how many there are}

For an Excel workbook it reads the first rows of the first sheet. For Parquet it reads the metadata at the
end of the file: names, types, the number of rows and usually the missing values. Parquet rows need a
library: they are included if pandas has one (pyarrow or fastparquet) and the file is small.
"""

from __future__ import annotations

import json
import struct
import sys
import zipfile
from datetime import datetime, timedelta
from typing import IO, TYPE_CHECKING, Any, Dict
from xml.etree import ElementTree

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = Dict[str, Any]
ROWS, COLUMNS, CELL = 5, 12, 80
MAX_ROWS = 200_000
MAX_FOOTER = 64 << 20
# pandas reads a whole Parquet file into the container's memory, so rows of larger files are not shown.
MAX_BYTES, MAX_CELLS = 64 << 20, 5_000_000


def main(path: str) -> None:
    """Print the description of the table at `path`. Prints nothing but an error if it is not a table."""
    found = _parquet(path) if path.lower().endswith(".parquet") else _excel(path)
    print(json.dumps(found))


# --- Excel -------------------------------------------------------------------------------------------------

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
DATE_FORMATS = {*range(14, 23), *range(45, 48)}


def _excel(path: str) -> Json:
    with zipfile.ZipFile(path) as archive:
        sheets = ElementTree.fromstring(archive.read("xl/workbook.xml")).findall(f"{MAIN}sheets/{MAIN}sheet")
        relations = ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))
        targets = {relation.get("Id"): relation.get("Target", "") for relation in relations}
        target = targets[sheets[0].get(RELATION)]
        names = archive.namelist()
        texts = _shared_texts(archive) if "xl/sharedStrings.xml" in names else []
        dates = _date_styles(archive) if "xl/styles.xml" in names else set()
        member = target.lstrip("/") if target.startswith("/") else "xl/" + target
        with archive.open(member) as sheet:
            found = _summary(_cells_of_rows(sheet, texts, dates))
    found["sheets"] = len(sheets)
    return found


def _shared_texts(archive: zipfile.ZipFile) -> list[str]:
    texts: list[str] = []
    with archive.open("xl/sharedStrings.xml") as member:
        for _, element in ElementTree.iterparse(member):
            if element.tag == MAIN + "si":
                texts.append(_text_of(element))
                element.clear()
    return texts


def _text_of(element: ElementTree.Element) -> str:
    """Return the text of a cell without its phonetic readings."""
    runs = element.findall(MAIN + "t") + element.findall(f"{MAIN}r/{MAIN}t")
    return "".join(run.text or "" for run in runs)


def _date_styles(archive: zipfile.ZipFile) -> set[int]:
    """Return the numbers of the cell styles that show a number as a date or a time."""
    styles = ElementTree.fromstring(archive.read("xl/styles.xml"))
    dates = set(DATE_FORMATS)
    for own in styles.iter(MAIN + "numFmt"):
        code = own.get("formatCode", "").split("[$")[0].lower()
        if set(code) & set("ydhs") and not set(code) & set("#0?"):
            dates.add(int(own.get("numFmtId", 0)))
    formats = styles.findall(f"{MAIN}cellXfs/{MAIN}xf")
    return {n for n, style in enumerate(formats) if int(style.get("numFmtId", 0)) in dates}


def _cells_of_rows(sheet: IO[bytes], texts: list[str], dates: set[int]) -> Iterator[list[Any]]:
    """Yield each row that has a value, as a list with None where there is none."""
    for _, element in ElementTree.iterparse(sheet):
        if element.tag == MAIN + "row":
            row: list[Any] = []
            for cell in element.findall(MAIN + "c"):
                letters = [c for c in cell.get("r", "") if c.isalpha()]
                column = 0
                for letter in letters:
                    column = column * 26 + ord(letter.upper()) - 64
                if letters:
                    row += [None] * (min(column, 16_384) - 1 - len(row))
                row.append(_value_of(cell, texts, dates))
            element.clear()
            if any(value is not None for value in row):
                yield row


def _value_of(cell: ElementTree.Element, texts: list[str], dates: set[int]) -> Any:
    kind, held = cell.get("t", "n"), cell.findtext(MAIN + "v")
    if kind == "inlineStr":
        return "".join(_text_of(inside) for inside in cell.findall(MAIN + "is"))
    if not held or kind == "e":
        return None
    if kind == "s":
        return texts[int(held)]
    if kind == "b":
        return held == "1"
    if kind in ("str", "d"):
        return held
    number = float(held)
    if int(cell.get("s", 0)) in dates and 0 <= number < 2_958_466:
        return datetime(1899, 12, 30) + timedelta(seconds=round(number * 86_400))
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


def _summary(rows: Iterator[list[Any]]) -> Json:
    header: list[Any] = next(rows, [])
    shown = header[:COLUMNS]
    kinds: list[set[str]] = [set() for _ in shown]
    there = [0] * len(shown)
    first: list[list[str]] = []
    count = 0
    for row in rows:
        if count == MAX_ROWS:
            break
        count += 1
        for column, value in enumerate(row[: len(shown)]):
            if value is not None:
                there[column] += 1
                kinds[column].add(_kind_of(value))
        if len(first) < ROWS:
            first.append([_written(value) for value in row[: len(shown)]])
    columns = [[_written(n), _joined(k), count - t] for n, k, t in zip(shown, kinds, there)]  # noqa: B905 (3.8)
    return {
        "columns": columns,
        "width": len(header),
        "count": count,
        "rows": first,
        "whole": next(rows, None) is None,
    }


def _kind_of(value: object) -> str:
    return {bool: "bool", int: "int", float: "float", datetime: "date"}.get(type(value), "text")


def _joined(kinds: set[str]) -> str:
    if kinds == {"int", "float"}:
        return "float"
    return next(iter(kinds), "") if len(kinds) < 2 else "mixed"


def _written(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return str(value)[:10] if (value.hour, value.minute, value.second) == (0, 0, 0) else str(value)
    return str(value)[:CELL]


# --- Parquet -----------------------------------------------------------------------------------------------


def _parquet(path: str) -> Json:
    with open(path, "rb") as file:
        file.seek(-8, 2)
        length, magic = struct.unpack("<I4s", file.read(8))
        if magic != b"PAR1" or length > MAX_FOOTER:
            raise ValueError("no Parquet file")
        file.seek(-8 - length, 2)
        about = _Thrift(file.read(length)).fields()
    columns = list(_top_columns(about[2]))
    nulls = _null_counts(about.get(4, []))
    described = [[name[:CELL], kind, nulls.get(name.encode())] for name, kind in columns[:COLUMNS]]
    unpacked = sum(group[2] for group in about.get(4, []))
    small = unpacked <= MAX_BYTES and about[3] * len(columns) <= MAX_CELLS
    return {
        "columns": described,
        "width": len(columns),
        "count": about[3],
        "rows": _parquet_rows(path, [name for name, _ in columns[:COLUMNS]]) if small else [],
        "whole": True,
        "sheets": 1,
    }


def _parquet_rows(path: str, names: list[str]) -> list[list[str]]:
    """Return the first rows of these columns; none if no installed library can read them."""
    try:
        import pandas

        frame = pandas.read_parquet(path).head(ROWS)
    # No library, or it fails: the file's metadata is still reported.
    except (ImportError, OSError, TypeError, ValueError, NotImplementedError):
        return []
    if not frame.columns.is_unique:
        return []
    columns = [_values(frame, name) for name in names]
    return [[_written(value) for value in row] for row in zip(*columns)]  # noqa: B905 (3.8)


def _values(frame: Any, name: str) -> list[Any]:
    """Return a column, or the index that pandas made of it; None for what is missing."""
    found = frame[name] if name in frame.columns else frame.index.to_frame(index=False).get(name)
    if found is None:
        return [None] * len(frame)
    missing = found.isna()
    return [None if gone else value for value, gone in zip(found, missing)]  # noqa: B905 (3.8)


def _top_columns(schema: list[Any]) -> Iterator[tuple[str, str]]:
    """Yield names and types of the top-level columns. The first schema entry is the root."""
    position = 1
    while position < len(schema):
        yield schema[position][4].decode("utf-8", "replace"), _parquet_type(schema[position])
        inside = schema[position].get(5, 0)
        position += 1
        while inside:
            inside += schema[position].get(5, 0) - 1
            position += 1


def _parquet_type(element: dict[int, Any]) -> str:
    logical = next(iter(element.get(10, {})), None)
    if element.get(5):
        return "list" if logical == 3 or element.get(6) == 3 else "object"
    if logical in (6, 7, 8) or element.get(6) in (6, 7, 8, 9, 10) or element.get(1) == 3:
        return "date"
    if logical == 5 or element.get(6) == 5:
        return "float"
    return {0: "bool", 1: "int", 2: "int", 4: "float", 5: "float"}.get(element.get(1, 6), "text")


def _null_counts(groups: list[Any]) -> dict[bytes, int]:
    """Return the missing values by column, for columns counted in every part of the file."""
    counts: dict[bytes, int] = {}
    unknown = set()
    for group in groups:
        for chunk in group.get(1, []):
            about = chunk.get(3, {})
            path = about.get(3, [b""])
            nulls = about.get(12, {}).get(3)
            if nulls is None or len(path) > 1:
                unknown.add(path[0])
            else:
                counts[path[0]] = counts.get(path[0], 0) + nulls
    return {name: count for name, count in counts.items() if name not in unknown}


class _Thrift:
    """Reads Thrift's compact encoding; returns structs as dicts by field number."""

    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0

    def byte(self) -> int:
        self.position += 1
        return self.data[self.position - 1]

    def unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def signed(self) -> int:
        value = self.unsigned()
        return (value >> 1) ^ -(value & 1)

    def binary(self) -> bytes:
        length = self.unsigned()
        self.position += length
        return self.data[self.position - length : self.position]

    def double(self) -> Any:
        self.position += 8
        return struct.unpack("<d", self.data[self.position - 8 : self.position])[0]

    def sequence(self) -> list[Any]:
        head = self.byte()
        count, kind = head >> 4, head & 15
        if count == 15:
            count = self.unsigned()
        return [self.byte() == 1 if kind in (1, 2) else self.value(kind) for _ in range(count)]

    def fields(self) -> dict[int, Any]:
        found: dict[int, Any] = {}
        number = 0
        while True:
            head = self.byte()
            if head == 0:
                return found
            number = number + (head >> 4) if head >> 4 else self.signed()
            found[number] = self.value(head & 15)

    def value(self, kind: int) -> Any:
        if kind in (1, 2):
            return kind == 1
        if kind == 3:
            return self.byte()
        if kind in (4, 5, 6):
            return self.signed()
        return {7: self.double, 8: self.binary, 9: self.sequence, 10: self.sequence, 12: self.fields}[kind]()


if __name__ == "__main__":
    main(sys.argv[1])
