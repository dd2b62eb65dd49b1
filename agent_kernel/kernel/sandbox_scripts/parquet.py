"""Read Parquet: names, types, counts from the footer; rows with pyarrow, if the container has it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from agent_kernel.kernel.sandbox_scripts.arrow import NO_ARROW, rows_of
from agent_kernel.kernel.sandbox_scripts.summary import CELL, PART, Json, Unreadable, described
from agent_kernel.kernel.sandbox_scripts.thrift import Thrift

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FOOTER = 64 << 20


def read(path: str) -> Json:
    """Return the description of a Parquet file. Its rows are read only as far as they are shown."""
    about = _footer(path)
    columns = list(_top_columns(about[2]))
    groups = about.get(4, [])
    nulls = _null_counts(groups)
    table = [
        [name[:CELL], kind, nulls.get(name.encode(), None if groups else 0)]
        for name, kind in columns[: PART.columns]
    ]
    notes = []
    rows: Any = []
    try:
        rows = rows_of(path, [name for name, _ in columns[: PART.columns]])
    except ImportError:
        notes = [NO_ARROW]
    except (OSError, ValueError, NotImplementedError, MemoryError) as error:
        notes = ["its rows cannot be read (%s)" % " ".join(str(error).replace("`", "'").split())[:80]]
    return described(table, len(columns), about[3], rows, notes=notes)


def _footer(path: str) -> Any:
    with open(path, "rb") as file:
        file.seek(-8, 2)
        length, magic = struct.unpack("<I4s", file.read(8))
        if magic == b"PARE":
            raise Unreadable("it is encrypted")
        if magic != b"PAR1" or length > MAX_FOOTER:
            raise Unreadable("it is not a Parquet file")
        file.seek(-8 - length, 2)
        return Thrift(file.read(length)).fields()


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
    if logical == 7 or element.get(6) in (7, 8):
        return "time"
    if logical in (6, 8) or element.get(6) in (6, 9, 10) or element.get(1) == 3:
        return "date"
    if logical in (5, 15) or element.get(6) == 5:
        return "float"
    if logical == 11:
        return ""
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
