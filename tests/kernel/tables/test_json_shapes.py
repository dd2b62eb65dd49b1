"""The shapes in which data frames and programs write JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent_kernel.kernel.tables.json_tables import read_json
from agent_kernel.kernel.tables.preview import NoTable, Preview

ROWS: list[list[Any]] = [["A", 1.5], ["B", None], ["C", 2]]
NAMES = ["name", "v"]
RECORDS = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
COLUMNS = {name: {str(n): row[i] for n, row in enumerate(ROWS)} for i, name in enumerate(NAMES)}


def read(value: Any) -> Preview:
    return read_json(json.dumps(value), lines=False, whole=True)


@pytest.mark.parametrize(
    "value",
    [
        RECORDS,
        COLUMNS,
        {"columns": NAMES, "index": [0, 1, 2], "data": ROWS},
        {"columns": NAMES, "data": ROWS},
        {"schema": {"fields": []}, "data": RECORDS},
        {str(n): record for n, record in enumerate(RECORDS)},
        {"x": RECORDS[0], "y": RECORDS[1], "z": RECORDS[2]},
        {"name": {"x": "A", "y": "B", "z": "C"}, "v": {"x": 1.5, "y": None, "z": 2}},
        {"name": ["A", "B", "C"], "v": [1.5, None, 2]},
        {"count": 3, "next": None, "results": RECORDS},
        {"v": {"2024-01-01": 1.5, "2024-01-02": None, "2024-01-03": 2}}
        | {"name": {"2024-01-01": "A", "2024-01-02": "B", "2024-01-03": "C"}},
    ],
)
def test_frames_in_every_orientation(value: Any) -> None:
    preview = read(value)
    assert preview.shape == "3 rows × 2 columns"
    columns = sorted((column.name, column.type, column.missing) for column in preview.columns)
    assert columns == [("name", "text", 0), ("v", "float", 1)]
    assert sorted(preview.rows[0]) == ["1.5", "A"]


@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
def test_lines_in_a_file_called_json(end: str) -> None:
    preview = read_json("\n".join(map(json.dumps, RECORDS)) + end, lines=False, whole=True)
    assert preview.shape == "3 rows × 2 columns"


@pytest.mark.parametrize(
    ("fields", "shape"),
    [(2, "50 rows × 1 column"), (10, "50 rows × 1 column"), (11, "2 rows × 2 columns")],
)
def test_list_that_is_by_far_the_longest(fields: int, shape: str) -> None:
    lists = {"fields": [{"f": n} for n in range(fields)], "features": [{"a": n} for n in range(50)]}
    assert read(lists).shape == shape


@pytest.mark.parametrize(
    ("values", "kind"),
    [(["2024-01-31", "2024-02-01"], "date"), (["2024-01-31", "soon"], "text"), (["2024-01-31", 5], "mixed")],
)
def test_dates_among_other_values(values: list[Any], kind: str) -> None:
    assert read([{"a": value} for value in values]).columns[0].type == kind


def test_lists_without_names_are_numbered() -> None:
    preview = read(ROWS)
    assert [column.name for column in preview.columns] == ["1", "2"]
    assert preview.notes == ["lists without names, so columns are numbered"]


def test_nan_is_missing() -> None:
    assert read_json('[{"a": NaN}, {"a": 1}]', lines=False, whole=True).columns[0].missing == 1


@pytest.mark.parametrize("size", [3, 1_000, 20_000])
def test_beginning_of_a_list_is_read(size: int) -> None:
    text = json.dumps([{"a": n, "b": "x, y]}"} for n in range(size)])
    preview = read_json(text[:-1], lines=False, whole=False)
    assert (preview.count, preview.whole) == (size - 1, False)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not readable as JSON"),
        ("[]", "no records"),
        ("1", "single value"),
        ("[" * 100_000, "nested"),
        ("[1,", "not readable as JSON"),
    ],
)
def test_reason_when_it_is_no_table(text: str, reason: str) -> None:
    with pytest.raises(NoTable, match=reason):
        read_json(text, lines=False, whole=True)
