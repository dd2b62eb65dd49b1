"""Read JSON as a table: records, and the shapes that data frames are written in. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agent_kernel.kernel.tables.preview import SHOWN, Column, Extent, NoTable, Preview, quoted
from agent_kernel.kernel.tables.values import joined, type_of

SUFFIXES = (".json", ".jsonl", ".ndjson")

_TOO_LARGE = "it is too large to be read whole, and only a list of records can be read in part"
_SPLIT = {"columns", "data"}


def read_json(text: str, *, lines: bool, whole: bool, extent: Extent = SHOWN) -> Preview:
    """Return the preview of JSON or JSON lines. Raises `NoTable`.

    `whole` is False for the beginning of a file: the last record, which may be torn, is dropped.
    """
    try:
        if lines:
            end = len(text) if whole else text.rfind("\n") + 1
            values = [json.loads(line) for line in text[:end].splitlines() if line.strip()]
            return _of_records(values, extent, whole=whole)
        if not whole:
            return _of_records(_records_of(text), extent, whole=False)
        values = _values_of(text)
        return _of_value(values[0], extent) if len(values) == 1 else _of_records(values, extent)
    except RecursionError as error:
        raise NoTable("it is nested too deeply") from error
    except NoTable:
        raise
    except ValueError as error:
        raise NoTable("it is not readable as JSON") from error


def _values_of(text: str) -> list[Any]:
    """Return the values of a JSON text: one, or several after each other. Raises `ValueError`."""
    try:
        return [json.loads(text)]
    except ValueError:
        values = [json.loads(line) for line in text.splitlines() if line.strip()]
        if len(values) < 2:
            raise
        return values


def _records_of(text: str) -> list[Any]:
    """Return the complete values of a list whose end is absent."""
    position = _next(text, 0)
    if text[position : position + 1] != "[":
        raise NoTable(_TOO_LARGE)
    decoder = json.JSONDecoder()
    values: list[Any] = []
    position = _next(text, position + 1)
    while position < len(text):
        try:
            value, end = decoder.raw_decode(text, position)
        except ValueError:
            break  # torn
        end = _next(text, end)
        if text[end : end + 1] != ",":  # a number may go on behind the cut
            break
        values.append(value)
        position = _next(text, end + 1)
    return values


def _next(text: str, position: int) -> int:
    """Return the position of the next character that is not white space."""
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _of_value(found: Any, extent: Extent) -> Preview:
    if isinstance(found, list):
        return _of_records(found, extent)
    if not isinstance(found, dict):
        raise NoTable("it is a single value")
    if isinstance(found.get("data"), list) and "schema" in found:
        return _of_records(found["data"], extent)
    if found.keys() >= _SPLIT and found.keys() <= _SPLIT | {"index", "index_names", "column_names", "name"}:
        return _of_split(found["columns"], found["data"], extent)
    if found and all(isinstance(value, dict) for value in found.values()):
        return _of_objects(found, extent)
    if _are_lists_of_one_length(list(found.values())):
        return _of_columns(found, extent)
    if (key := _key_of_records(found)) is not None:
        preview = _of_records(found[key], extent)
        preview.notes.append(f"the list under {quoted(key)}")
        return preview
    return _of_records([{"key": key, "value": value} for key, value in found.items()], extent)


def _key_of_records(found: Mapping[str, Any]) -> str | None:
    """Return the key of the only list of records, or of the one that is by far the longest."""
    lengths = {key: len(value) for key, value in found.items() if _is_records(value)}
    if not lengths:
        return None
    key = max(lengths, key=lambda key: lengths[key])
    others = [length for other, length in lengths.items() if other != key]
    return key if all(5 * length <= lengths[key] for length in others) else None


def _are_lists_of_one_length(values: Sequence[Any]) -> bool:
    return all(isinstance(value, list) for value in values) and len({len(value) for value in values}) == 1


def _is_records(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(isinstance(each, dict) for each in value)


def _of_split(names: Any, rows: Any, extent: Extent) -> Preview:
    if not isinstance(names, list) or not isinstance(rows, list):
        raise NoTable("its columns and data are no lists")
    return _of_rows([_as_text(name) for name in names], rows, extent)


def _of_rows(names: Sequence[str], rows: Sequence[Any], extent: Extent) -> Preview:
    cells = [row if isinstance(row, list) else [row] for row in rows]
    columns = [
        _column(name, [row[n] if n < len(row) else None for row in cells])
        for n, name in enumerate(names[: extent.columns])
    ]
    shown = [[_as_text(value) for value in row[: extent.columns]] for row in cells[: extent.rows]]
    return Preview(columns, shown, len(names), len(rows))


def _of_columns(found: Mapping[str, Sequence[Any]], extent: Extent) -> Preview:
    return _of_rows(list(found), [list(row) for row in zip(*found.values(), strict=True)], extent)


def _of_objects(found: Mapping[str, Mapping[str, Any]], extent: Extent) -> Preview:
    """Read an object of objects: columns of cells by row, as data frames are written, or rows by key.

    They are columns if all have the same keys and these count from 0, or if the values below each outer key
    are alike in type and those below each inner key are not.
    """
    inner = list(next(iter(found.values())))
    same = all(list(value) == inner for value in found.values())
    if same and inner and _are_of_columns(found, inner):
        return _of_columns({name: list(cells.values()) for name, cells in found.items()}, extent)
    preview = _of_records(list(found.values()), extent)
    preview.notes.append("one row for each key" if not _count_up(list(found)) else "rows by number")
    return preview


def _are_of_columns(found: Mapping[str, Mapping[str, Any]], inner: Sequence[str]) -> bool:
    """Return whether the outer keys name columns, and the inner keys rows."""
    if _count_up(inner) or _count_up(list(found)):
        return _count_up(inner)
    values = [all(type_of(key) != "text" for key in keys) for keys in (inner, list(found))]
    if values[0] != values[1]:
        return values[0]  # row labels are numbers or dates more often than names are
    return _are_columns(found, inner)


def _count_up(keys: Sequence[str]) -> bool:
    return list(keys) == [str(n) for n in range(len(keys))]


def _are_columns(found: Mapping[str, Mapping[str, Any]], inner: Sequence[str]) -> bool:
    outer_mixed = sum(_column("", list(cells.values())).type == "mixed" for cells in found.values())
    inner_mixed = sum(_column("", [cells[key] for cells in found.values()]).type == "mixed" for key in inner)
    return outer_mixed < inner_mixed


def _of_records(values: Sequence[Any], extent: Extent, *, whole: bool = True) -> Preview:
    """Return the preview of a list of records, of lists, or of plain values. Raises `NoTable` if empty."""
    if not values:
        raise NoTable("it has no records")
    if all(isinstance(value, list) for value in values):
        width = max(len(value) for value in values)
        preview = _of_rows([str(n) for n in range(1, width + 1)], values, extent)
        preview.whole = whole
        preview.notes.append("lists without names, so columns are numbered")
        return preview
    records = [value if isinstance(value, dict) else {"value": value} for value in values]
    names = list(dict.fromkeys(key for record in records for key in record))
    columns = [_column(name, [record.get(name) for record in records]) for name in names[: extent.columns]]
    rows = [[_as_text(record.get(column.name)) for column in columns] for record in records[: extent.rows]]
    return Preview(columns, rows, len(names), len(records), whole)


def _column(name: str, values: Sequence[Any]) -> Column:
    there = [value for value in values if value is not None and value == value]  # NaN is missing too
    types = {_type(value) for value in there}
    if "text" in types:
        types -= {"date"}  # a date among other texts is a text
    return Column(name, joined(types, "mixed"), len(values) - len(there))


def _type(value: object) -> str:
    if isinstance(value, str):
        return "date" if type_of(value) == "date" else "text"
    return {bool: "bool", int: "int", float: "float", list: "list"}.get(type(value), "object")


def _as_text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
