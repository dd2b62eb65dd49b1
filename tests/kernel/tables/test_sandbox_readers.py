"""The readers that run in the container: Excel, OpenDocument, SQLite and XML with the standard library."""

from __future__ import annotations

import sqlite3
import zipfile
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.kernel.sandbox_scripts import summary
from agent_kernel.kernel.sandbox_scripts.excel import kind_of_format
from agent_kernel.kernel.sandbox_scripts.table import description
from tests.kernel.tables.workbooks import MAIN, Cell, spreadsheet, workbook

FORMULA = "<c><f>A1+1</f></c>"
ERROR = '<c t="e"><v>#DIV/0!</v></c>'


def excel(path: Path, *sheets: list[list[Cell]], **options: Any) -> dict[str, Any]:
    return description(str(workbook(path / "x.xlsx", *sheets, **options)))


@pytest.mark.parametrize(
    ("serial", "style", "starts_1904", "shown", "kind"),
    [
        (45292.0, 1, False, "2024-01-01", "date"),
        (43830.0, 1, True, "2024-01-01", "date"),
        (1.0, 1, False, "1900-01-01", "date"),
        (61.0, 1, False, "1900-03-01", "date"),
        (45292.999995370, 2, False, "2024-01-01 23:59:59.6", "date"),
        (45292.5, 2, False, "2024-01-01 12:00:00", "date"),
        (0.354166666666667, 3, False, "08:30:00", "time"),
        (0.354166666666667, 3, True, "08:30:00", "time"),
        (0.999995370, 3, False, "23:59:59.6", "time"),
        (1.5, 4, False, "1 day, 12:00:00", "duration"),
        (45292.0, 5, False, "45292", "int"),
        (2.5, 0, False, "2.5", "float"),
    ],
)
def test_dates_times_and_durations(
    tmp_path: Path, serial: float, style: int, starts_1904: bool, shown: str, kind: str
) -> None:
    found = excel(tmp_path, [["a", "b"], ["x", (serial, style)]], starts_1904=starts_1904)
    assert (found["rows"][0][1], found["columns"][1][1]) == (shown, kind)
    assert ("dates count from 1904" in found["notes"]) == starts_1904


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("General", ""),
        ("0.00E+00", ""),
        ('"day" 0', ""),
        ("[Red]#,##0", ""),
        ("mmm-yy", "date"),
        ("[$-409]d\\-mmm", "date"),
        ("h:mm AM/PM", "time"),
        ("mm:ss.0", "time"),
        ("[mm]:ss", "duration"),
        ("[ss].00", "duration"),
    ],
)
def test_number_formats(code: str, kind: str) -> None:
    assert kind_of_format(code) == kind


def test_formulas_without_values_are_not_calculated(tmp_path: Path) -> None:
    found = excel(tmp_path, [["a", "b"], [1, FORMULA], [2, FORMULA], [3, ERROR], [4, "NA"]])
    assert found["rows"][0] == ["1", "(not calculated)"]
    assert found["columns"][1] == ["b", "", 2]
    assert found["notes"] == [
        "2 formulas are not calculated",
        "1 error values (`#DIV/0!`) counted as missing",
    ]


@pytest.mark.parametrize(
    ("rows", "names", "count", "notes"),
    [
        (
            [["Report 2024"], [], ["m", "k", "e"], ["x", 1, 2]],
            "m k e",
            1,
            "the line above the table: `Report 2024`",
        ),
        ([["A"], ["B"], ["m", "k"], ["x", 1]], "m k", 1, "2 lines above the table, the first: `A`"),
        ([[None, "a", "b"], [None, 1, 2]], "a b", 1, "the table begins in column B"),
        ([["a", "b"], [1, 2, 3], [4, 5, 6]], "a b ", 2, ""),
        ([["a", "b"], [1, 2], [], [4, 5]], "a b", 2, "1 empty row left out"),
        ([[1.5, "x"], [2, "y"]], "1.5 x", 1, ""),
        ([[1.5, 2], [2, 3]], "1 2", 2, "no header line, so columns are numbered"),
        ([["land", 2000, 2001], ["A", 5, 6]], "land 2000 2001", 1, ""),
        ([[1, 2, 3], [4, 5, 6]], "1 2 3", 2, "no header line, so columns are numbered"),
        ([[2000, 2001], [5.5, 6]], "2000 2001", 1, ""),
        ([["a", 1.5]], "1 2", 1, "no header line, so columns are numbered"),
        ([["a", "b"]], "a b", 0, ""),
        ([["n", "x"], ["d", "c"], ["class", None], ["a", 1]], "n x", 1, "2 more header lines: `d c`"),
        ([["n", "x"], ["d", "c"], ["a", "b"]], "n x", 2, ""),
        ([["a", "b"], [ERROR, ERROR]], "a b", 1, "2 error values (`#DIV/0!`) counted as missing"),
    ],
)
def test_tables_in_sheets(tmp_path: Path, rows: list[list[Cell]], names: str, count: int, notes: str) -> None:
    merged = '<mergeCells count="1"><mergeCell ref="A1:C1"/></mergeCells>'
    found = excel(tmp_path, rows, extra=merged)
    assert (" ".join(name for name, _, _ in found["columns"]), found["count"]) == (names, count)
    assert "; ".join(found["notes"]) == notes


def test_the_first_sheet_with_a_table_is_shown(tmp_path: Path) -> None:
    found = excel(tmp_path, [], [["a"], [1]], [["b"]])
    assert found["notes"] == ["sheet 2 of 3 sheets (`S1`, `S2`, `S3`)", "the one before it has no table"]


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        ([["About"], ["x"], ["y"]], [["a", "b"], [1, 2]], ["a", "b"]),
        ([["About"]], [["a", "b"], [1, 2]], ["a", "b"]),
        ([["n"], [1], [2]], [["a", "b"], [1, 2]], ["n"]),  # numbers are no remarks
        ([["About"], ["x"]], [["Other"], ["y"]], ["About"]),
    ],
)
def test_sheets_of_remarks_come_last(tmp_path: Path, first: Any, second: Any, names: list[str]) -> None:
    assert [name for name, _, _ in excel(tmp_path, first, second)["columns"]] == names
    cells = [
        "".join(f"<table:table-row>{''.join(map(_ods_cell, row))}</table:table-row>" for row in sheet)
        for sheet in (first, second)
    ]
    content = "".join(f'<table:table table:name="S">{rows}</table:table>' for rows in cells)
    found = description(str(spreadsheet(tmp_path / "x.ods", content)))
    assert [name for name, _, _ in found["columns"]] == names


def _ods_cell(value: object) -> str:
    if isinstance(value, int):
        return f'<table:table-cell office:value-type="float" office:value="{value}"/>'
    return f'<table:table-cell office:value-type="string"><text:p>{value}</text:p></table:table-cell>'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('a<text:s text:c="2"/>b', "a  b"),
        ("a<text:s/>b<text:tab/>c", "a b\tc"),
        ("a<text:line-break/>b", "a\nb"),
        ("a<text:span>b<text:s/>c</text:span> d", "ab c d"),
    ],
)
def test_spaces_in_open_document_texts(tmp_path: Path, text: str, shown: str) -> None:
    row = f"<table:table-row>{_ods_cell('n')}{_ods_cell(text)}</table:table-row>"
    content = f'<table:table table:name="S">{row}</table:table>'
    assert description(str(spreadsheet(tmp_path / "x.ods", content)))["columns"][1][0] == shown


@pytest.mark.parametrize(("limit", "value", "count"), [("MAX_ROWS", 1_000, 1_000), ("SECONDS", -1, 0)])
def test_large_workbooks_are_read_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, count: int
) -> None:
    monkeypatch.setattr(summary, limit, value)
    rows: list[list[Cell]] = [[n, "x"] for n in range(2_000)]
    found = excel(tmp_path, [["a", "b"], *rows])
    assert (found["whole"], found["count"], found["columns"][0][2]) == (False, count, 0)


def _replaced(path: Path, member: str, content: bytes) -> Path:
    """Copy a workbook with other content for one of its parts."""
    other = path.with_name("other.xlsx")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(other, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, content if name == member else source.read(name))
    return other


ENTITIES = b"".join(b'<!ENTITY e%d "%s">' % (n, b"&e%d;" % (n - 1) * 10) for n in range(1, 12))
BOMB = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "lol">' + ENTITIES + b"]><x>&e11;</x>"
DEEP = b"<a>" * 200_000


@pytest.mark.parametrize("member", ["xl/workbook.xml", "xl/styles.xml", "xl/worksheets/s1.xml"])
@pytest.mark.parametrize("content", [BOMB, BOMB.decode().encode("utf-16"), DEEP, b"", b" " * (17 << 20)])
def test_hostile_workbooks_are_refused(tmp_path: Path, member: str, content: bytes) -> None:
    path = workbook(tmp_path / "x.xlsx", [["a"], [1]])
    assert list(description(str(_replaced(path, member, content)))) == ["reason"]


def test_namespaces_of_strict_workbooks(tmp_path: Path) -> None:
    path = workbook(tmp_path / "x.xlsx", [["a"], [1]])
    with zipfile.ZipFile(path) as archive:
        sheet = archive.read("xl/worksheets/s1.xml").replace(MAIN.encode(), b"urn:strict")
    assert description(str(_replaced(path, "xl/worksheets/s1.xml", sheet)))["columns"] == [["a", "int", 0]]


def test_open_document_spreadsheets(tmp_path: Path) -> None:
    def cell(kind: str, value: str, text: str = "") -> str:
        names = {"float": "value", "date": "date-value", "time": "time-value", "boolean": "boolean-value"}
        held = f'office:{names[kind]}="{value}"' if kind in names else ""
        return (
            f'<table:table-cell office:value-type="{kind}" {held}><text:p>{text}</text:p></table:table-cell>'
        )

    names = "".join(cell("string", "", name) for name in ("n", "d", "t", "b", "s"))
    values = (
        cell("float", "1.5")
        + cell("date", "2024-01-02")
        + cell("time", "PT08H30M00S")
        + cell("boolean", "true")
    )
    end = '<table:table-cell table:number-columns-repeated="1019"/>'
    content = (
        f'<table:table table:name="One"><table:table-row>{names}{end}</table:table-row>'
        f'<table:table-row table:number-rows-repeated="3">{values}{end}</table:table-row>'
        f'<table:table-row table:number-rows-repeated="1048000">{end}</table:table-row></table:table>'
        '<table:table table:name="Two"/>'
    )
    found = description(str(spreadsheet(tmp_path / "x.ods", content)))
    assert found["columns"] == [
        ["n", "float", 0],
        ["d", "date", 0],
        ["t", "time", 0],
        ["b", "bool", 0],
        ["s", "", 3],
    ]
    assert found["rows"][0] == ["1.5", "2024-01-02", "08:30:00", "True"]
    assert (found["count"], found["notes"]) == (3, ["the first of 2 sheets (`One`, `Two`)"])


def test_sqlite_databases(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute('CREATE TABLE "a ""b" (id INTEGER, v REAL, t TEXT)')
        connection.executemany(
            'INSERT INTO "a ""b" VALUES (?, ?, ?)', [(1, 1.5, "x"), (2**53 + 1, None, "NA")]
        )
        connection.execute("CREATE TABLE other (x)")
    connection.close()
    found = description(str(tmp_path / "x.db"))
    assert found["columns"] == [["id", "int", 0], ["v", "float", 1], ["t", "text", 0]]
    assert found["rows"][1] == ["9007199254740993", "", "NA"]
    assert found["notes"] == ['the first of 2 tables (`a "b`, `other`)']


@pytest.mark.parametrize(
    ("xml", "columns"),
    [
        ("<r><p id='1'><n>A</n></p><p id='2'/></r>", [["id", "int", 0], ["n", "text", 1]]),
        ("<r><d><p><v>1.5</v></p><p><v>2</v></p></d></r>", [["v", "float", 0]]),
        ("<r><p><v>2018-01-02 00:00:00</v></p><p><v>2018-02-03</v></p></r>", [["v", "date", 0]]),
        ("<r><p><v>2018-02-30</v></p><p><v>x</v></p></r>", [["v", "text", 0]]),
        ("<r xmlns='urn:x'><p><v>true</v></p><p><v/></p></r>", [["v", "bool", 1]]),
    ],
)
def test_records_in_xml(tmp_path: Path, xml: str, columns: list[Any]) -> None:
    (tmp_path / "x.xml").write_text(xml)
    assert description(str(tmp_path / "x.xml"))["columns"] == columns


@pytest.mark.parametrize("content", [BOMB, DEEP, b"<a><b><c><d/></c></b></a>", b"<a/>", b"{}"])
def test_xml_that_is_no_table(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.xml").write_bytes(content)
    assert list(description(str(tmp_path / "x.xml"))) == ["reason"]


def test_votable_is_refused_by_name(tmp_path: Path) -> None:
    table = "<TABLE><FIELD/><DATA><TABLEDATA><TR><TD>1</TD></TR></TABLEDATA></DATA></TABLE>"
    (tmp_path / "x.xml").write_text(f'<VOTABLE xmlns="urn:x"><INFO/><INFO/>{table}</VOTABLE>')
    assert "VOTable" in description(str(tmp_path / "x.xml"))["reason"]


def test_libraries_that_are_absent_are_named(tmp_path: Path) -> None:
    for name, package in (
        ("x.xls", "xlrd"),
        ("x.dta", "pandas"),
        ("x.sav", "pyreadstat"),
        ("x.orc", "pyarrow"),
    ):
        (tmp_path / name).write_bytes(b"x")
        assert description(str(tmp_path / name)) == {
            "reason": f"it needs {package}, which the container does not have"
        }
