"""Where a table is in a text: comments and remarks around it, header or row, columns made of spaces."""

from __future__ import annotations

import pytest

from agent_kernel.kernel.tables.delimited import read_text
from agent_kernel.kernel.tables.preview import NoTable, Preview


def read(text: str, suffix: str = ".csv") -> Preview:
    return read_text(text, suffix, whole=True)


def names(preview: Preview) -> list[str]:
    return [column.name for column in preview.columns]


NOTE = "Note: students who used their benefits in several states are counted in each of them"


@pytest.mark.parametrize(
    ("text", "suffix", "header", "count", "note"),
    [
        (
            "/* two lines\nof remarks */\n<1947 Q1>\n y1  y2\n 1.5  2\n 3.5  4\n 5  6\n",
            ".dat",
            ["y1", "y2"],
            3,
            "3 lines above",
        ),
        ("/* one */\na b\n1 2\n3 4\n", ".txt", ["a", "b"], 2, "line above"),
        ("# made by hand\na b\n1 2\n  # a remark\n3 4\n", ".dat", ["a", "b"], 2, "1 comment line left out"),
        ("# made by hand\n#No\tName\n#0\tnone\n1\tH\n2\tHe\n", ".txt", ["No", "Name"], 2, "lines above"),
        ("|a | b|\n|1 | 2|\n|3 | x|\n", ".txt", ["a", "b"], 2, "separated by `|`"),
        ("10,2\nid,z\n1,2.5\n2,3.5\n", ".csv", ["id", "z"], 2, "line above"),
        (
            "6,2,ab,cd\n1,2,3,0\n4,5,6,1\n7,8,9,1\n1,2,3,0\n4,5,6,1\n7,8,9,1\n",
            ".csv",
            list("1234"),
            6,
            "line above",
        ),
        (
            "n 1 2 3 4\nx y z u v\na 1 2 3 4\n\n1 2 3\np q r\n" + "1 2.5 0\n" * 20,
            ".dat",
            ["p", "q", "r"],
            20,
            "above",
        ),
        (f"a,b,c\n1,2,3\n4,5,6\n{NOTE},,\n", ".csv", ["a", "b", "c"], 2, "1 line below"),
        ("a,b,c\n1,2,3\nx,,\n", ".csv", ["a", "b", "c"], 2, ""),
        ("a,b,c\n1,2,3\n,\n", ".csv", ["a", "b", "c"], 2, "1 row has fewer cells"),
        (
            "Year Jan Feb Mar\n"
            + "2008 1.5 2 3\n" * 5
            + "2009 1 2\n----------------\nNo value in May 2009\n",
            ".dat",
            ["Year", "Jan", "Feb", "Mar"],
            6,
            "2 lines below",
        ),
    ],
)
def test_lines_around_a_table(text: str, suffix: str, header: list[str], count: int, note: str) -> None:
    preview = read(text, suffix)
    assert (names(preview), preview.count) == (header, count)
    assert note in "; ".join(preview.notes)


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("74-82-8\n74-84-0\n106-97-8\n75-28-5\n", ["1"]),  # built like the others
        ("Q | arith\nS | diff\nQ | factor\nQ | grad\n", ["1", "2"]),  # a value of its column
        ("name\n74-84-0\n106-97-8\n75-28-5\n", ["name"]),
        ("Q1,Q2\na1,b2\nc,d\nx,y\n", ["Q1", "Q2"]),
        ("kind,metal,n\nmetal,x,1\nmetal,y,2\nmetal,z,3\n", ["kind", "metal", "n"]),  # over numbers
        (
            "CAS\tName\t200\t250\t300\n1-2\tx\t1.5\t2.5\t3.5\n3-4\ty\t4.5\t5.5\t6.5\n",
            ["CAS", "Name", "200", "250", "300"],
        ),
        ("id,x\n2000-01-03,5,7\n2000-01-04,6,8\n", ["", "id", "x"]),  # dates name the rows
        ("a,b,c,d\n1,2,3\n1,2,3\n1,2,3\n1,2,3,4\n", ["a", "b", "c", "d"]),  # most rows are short
    ],
)
def test_header_or_row(text: str, header: list[str]) -> None:
    assert names(read(text, ".tsv" if "\t" in text else ".csv")) == header


@pytest.mark.parametrize(
    ("text", "suffix", "shape"),
    [
        ("Chins Situps\n5 162\n2 110\n", ".csv", "2 rows × 2 columns"),
        ("1.0 2.0 3.5\n4.0 5.0 6.5\n", ".csv", "2 rows × 3 columns"),
        (" id sex\n0 M 1\n1 F 2\n2 F 2\n", ".tsv", "3 rows × 3 columns"),
        ("city\nNew York\nLos Angeles\nSan Jose\n", ".csv", "3 rows × 1 column"),
        ("note\nsold 5 of 7 today\nsold 6 of 9 today\n", ".csv", "2 rows × 1 column"),
        (
            "id  level         n\n1   12-15 years   3\n2   < 12 years    4\n3   none          5\n",
            ".dat",
            "3 rows × 3 columns",
        ),
        ("id\tlevel  n\n1   \t12-15 years   3\n2  < 12 years\t4\n", ".txt", "2 rows × 3 columns"),
        (
            "       SIZE SUBS STAFF\n" + "Budget  42  0  39\nRules  9  2  5\n" * 4,
            ".dat",
            "8 rows × 4 columns",
        ),
        ("3.5\n4.5\n7\n", ".txt", "3 rows × 1 column"),
        (
            "Sat, 22 Apr 2017 15:11:58 -0500\nFri, 21 Apr 2017 14:20:57 -0500\nSat, 1 Apr 2017 10:00 Z\n",
            ".txt",
            "3 rows × 1 column",
        ),
    ],
)
def test_columns_made_of_spaces(text: str, suffix: str, shape: str) -> None:
    assert read(text, suffix).shape == shape


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a b c \\\n  1 2 3\nd e f \\\n  4 5 6\n", "go over several lines"),
        ("| ra | dec |\n| deg | deg |\n  1.5  2.5\n  3.5  4.5\n", "bars separate the names"),
        ("2\n1 2 3\n2 1\n3 5 6 7 8\n", "does not look like a table"),
    ],
)
def test_reason_why_lines_are_no_records(text: str, reason: str) -> None:
    with pytest.raises(NoTable, match=reason):
        read(text, ".dat")


@pytest.mark.parametrize(
    ("lines", "count"),
    [
        ("n\tx\tcl\nd\tc\td\nm\t\tclass\na\t1\tp\nb\t2\tq\n", 2),
        ("n\tx\tcl\nd\tc\td\n\t\tclass \na\t1\tp\nb\t2\tq\n", 2),
        ("n\tx\tcl\nd\tc\td\n\na\t1\tp\nb\t2\tq\n", 2),
        ("n\tx\tcl\nclass\nd\tc\td\na\t1\tp\n", 3),
        ("grade\tside\nc\td\nd\tc\nc\tc\n", 3),  # letters that are values
    ],
)
def test_lines_of_types_below_the_header(lines: str, count: int) -> None:
    assert read(lines, ".tab").count == count
