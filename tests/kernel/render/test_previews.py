from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_kernel.kernel.render.files.inspection import program
from agent_kernel.kernel.tables.delimited import read_text
from agent_kernel.kernel.tables.json_tables import read_json
from agent_kernel.kernel.tables.preview import COLUMNS, NoTable, Preview

TABLES = Path(__file__).parent / "tables"


def csv(text: str, *, whole: bool = True) -> Preview:
    return read_text(text, ".csv", whole=whole)


def columns(preview: Preview) -> list[tuple[str, str, int | None]]:
    return [(column.name, column.type, column.missing) for column in preview.columns]


def test_a_table_with_its_types_and_missing_values() -> None:
    preview = csv(
        "name,age,when,zip,ok\nAda,36,2024-01-02,01234,true\nBob,NA,2024-01-03 04:05,1,false\nCy,1.5\n"
    )
    assert columns(preview) == [
        ("name", "text", 0),
        ("age", "float", 1),
        ("when", "date", 1),
        ("zip", "text", 1),
        ("ok", "bool", 1),
    ]
    assert preview.shape == "3 rows × 5 columns"
    assert preview.rows[2] == ["Cy", "1.5"]


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        ("1\n-2\n", "int"),
        ("1\n2.5\n", "float"),
        ("1e5\n.5\ninf\n", "float"),
        ("1\ntrue\n", "text"),
        ("007\n", "text"),
        ("NA\nnull\n", ""),
        ("9" * 40, "float"),
        ("2024-13-99\n", "date"),
    ],
)
def test_types(values: str, type_: str) -> None:
    assert csv(f"x,y\n{values}").columns[0].type == type_


def test_only_the_first_columns_are_looked_at_and_all_are_counted() -> None:
    preview = csv(",".join(f"c{n}" for n in range(40)) + "\n" + ",".join("1" * 40) + "\n")
    assert (len(preview.columns), preview.width) == (COLUMNS, 40)


def test_of_a_beginning_the_last_half_line_is_left_out() -> None:
    preview = csv("a,b\n1,2\n3,4\n5", whole=False)
    assert preview.shape == "more than 2 rows × 2 columns"


@pytest.mark.parametrize("text", ["", "a\0b,c\n", '"' + "x" * 200_000])
def test_what_is_no_table(text: str) -> None:
    with pytest.raises(NoTable):
        read_text(text, ".csv", whole=True)


def test_many_rows_are_counted_in_batches() -> None:
    preview = csv("a,b\n" + "1,\n" * 5_000 + "x\n" * 5_000)
    assert columns(preview) == [("a", "text", 0), ("b", "", 10_000)]
    assert len(preview.rows) == 5


@given(st.text(st.sampled_from('a1,;"\n\r\t |N\0'), max_size=40), st.booleans())
def test_any_text_is_a_table_or_none(text: str, whole: bool) -> None:
    try:
        preview = read_text(text, ".csv", whole=whole)
    except NoTable:
        return
    assert len(preview.columns) == min(preview.width, COLUMNS)
    assert all((column.missing or 0) <= preview.count for column in preview.columns)


def json_table(value: Any) -> Preview:
    return read_json(json.dumps(value), lines=False, whole=True)


def test_records_of_json() -> None:
    preview = json_table([{"a": 1, "b": [1]}, {"a": 2.5, "when": "2024-01-02"}, {"a": None, "b": {"c": 1}}])
    assert columns(preview) == [("a", "float", 1), ("b", "mixed", 1), ("when", "date", 2)]
    assert preview.rows[0] == ["1", "[1]", ""]


def test_an_object_by_its_keys_and_a_plain_list() -> None:
    by_key = json_table({"a": 1, "b": {"c": [2]}})
    assert by_key.rows == [["a", "1"], ["b", '{"c": [2]}']]
    plain = json_table([1, "x"])
    assert columns(plain) == [("value", "mixed", 0)]


def test_lines_of_json() -> None:
    preview = read_json('{"a": 1}\n\n{"a": 2}\n{"a"', lines=True, whole=False)
    assert (preview.count, preview.whole) == (2, False)


@pytest.mark.parametrize("text", ["", "1", '"x"', "[]", "{", "[" * 100_000, "9" * 5_000])
def test_json_that_is_no_table(text: str) -> None:
    with pytest.raises(NoTable):
        read_json(text, lines=False, whole=True)


def test_of_large_json_only_a_list_is_read_in_part() -> None:
    preview = read_json('[{"a": 1}, {"a": 2}, {"a"', lines=False, whole=False)
    assert (preview.count, preview.whole) == (2, False)
    with pytest.raises(NoTable, match="too large"):
        read_json('{"a": 1, "b', lines=False, whole=False)


# --- the program that looks into tables inside the container --------------------------------------------


def described(path: Path, *options: str) -> dict[str, Any]:
    """Run the program as the container does, without our package."""
    command = [sys.executable, "-I", *options, "-", str(path)]
    done = subprocess.run(command, input=program().encode(), capture_output=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_workbook() -> None:
    found = described(TABLES / "people.xlsx")
    assert found["columns"] == [
        ["name", "text", 1],
        ["age", "int", 1],
        ["joined", "date", 1],
        ["zip", "text", 0],
        ["ok", "bool", 1],
        ["score", "float", 0],
        ["note", "", 7],
    ]
    assert (found["count"], found["width"], found["whole"]) == (7, 7, True)
    assert found["notes"] == ["the first of 2 sheets (`People`, `Other`)"]
    assert found["rows"][0] == ["Ada", "36", "2024-01-02", "01234", "True", "1.5"]


def test_a_parquet_file() -> None:
    found = described(TABLES / "people.parquet")
    assert found["columns"] == [
        ["name", "text", 1],
        ["age", "int", 1],
        ["joined", "date", 1],
        ["day", "date", 0],
        ["ok", "bool", 1],
        ["score", "float", 0],
        ["tags", "list", None],
        ["place", "object", None],
        ["price", "float", 0],
        ["raw", "text", 0],
    ]
    assert (found["count"], found["width"]) == (7, 10)


def test_parquet_where_nothing_can_read_its_rows() -> None:
    found = described(TABLES / "people.parquet", "-S")
    assert (found["rows"], found["count"], found["columns"][0]) == ([], 7, ["name", "text", 1])
    assert found["notes"] == ["rows need pyarrow, which the container does not have"]


@pytest.mark.parametrize("name", ["x.parquet", "x.xlsx", "x.ods", "x.sqlite", "x.xml"])
@pytest.mark.parametrize("content", [b"", b"PAR1", b"PK\x03\x04", b"x" * 100 + b"\x08\0\0\0PAR1"])
def test_what_is_none_of_them(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert list(described(tmp_path / name)) == ["reason"]
