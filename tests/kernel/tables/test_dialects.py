"""Delimited text as people write it: separators, quotes, title lines, ragged rows, missing values."""

from __future__ import annotations

import pytest

from agent_kernel.kernel.tables.caption import for_model
from agent_kernel.kernel.tables.delimited import read_text
from agent_kernel.kernel.tables.preview import NoTable, Preview

SEMICOLON, TABS = "separated by `;`", "separated by tabs"


def read(text: str, suffix: str = ".csv", *, whole: bool = True) -> Preview:
    return read_text(text, suffix, whole=whole)


def names(preview: Preview) -> list[str]:
    return [column.name for column in preview.columns]


def types(preview: Preview) -> str:
    return " ".join(column.type or "-" for column in preview.columns)


@pytest.mark.parametrize(
    ("text", "first", "kinds", "notes"),
    [
        (
            "name;preis, netto;preis, brutto\nA;1,5;1,8\n",
            ["A", "1,5", "1,8"],
            "text float float",
            [SEMICOLON, "decimal commas"],
        ),
        ('"City, State";Pop\n"A, B";5\n', ["A, B", "5"], "text int", [SEMICOLON]),
        ('name,note\nA,"x; y"\nB,"z; w"\n', ["A", "x; y"], "text text", []),
        ("a;b\n1;2,5\n2;3\n", ["1", "2,5"], "int float", [SEMICOLON, "decimal commas"]),
        ("a;b\n1;1.234,5\n", ["1", "1.234,5"], "int float", [SEMICOLON, "decimal commas"]),
        ("a;b\nx;1,234\n", ["x", "1,234"], "text float", [SEMICOLON, "decimal commas (or thousands)"]),
        ("a\tb\nx, y\t2\n", ["x, y", "2"], "text int", [TABS]),
        ("a|b|c\n1|2;3|x\n4|5;6|y\n", ["1", "2;3", "x"], "int text text", ["separated by `|`"]),
        ("sep=;\na;b\n1;2\n", ["1", "2"], "int int", [SEMICOLON]),
        ("a,b\n'x, y',2\n'z, w',3\n", ["x, y", "2"], "text int", ["quoted by `'`"]),
        ('a, b\n1, "x, y"\n', ["1", "x, y"], "int text", []),
        ('a,b\n"say \\"hi\\", he said",2\n', ['say "hi", he said', "2"], "text int", []),
        ("a\n1\n2\n", ["1"], "int", []),
    ],
)
def test_separator_and_quotes(text: str, first: list[str], kinds: str, notes: list[str]) -> None:
    preview = read(text)
    assert (preview.rows[0], types(preview), preview.notes) == (first, kinds, notes)


def test_a_separator_in_doubt_is_said() -> None:
    assert "the separator may also be `;`" in read("a;b,c\nd;e,f\n").notes


@pytest.mark.parametrize(
    ("text", "header", "count", "notes"),
    [
        (
            "Monthly report\n\nmonth,kwh,euro\n2024-01,210,50\n",
            ["month", "kwh", "euro"],
            1,
            "`Monthly report`",
        ),
        ("T,,\n,,\nm,k,e\n1,2,3\n", ["m", "k", "e"], 1, "the line above the table: `T`"),
        ("T\nSub\nx,y\n1,2\n", ["x", "y"], 1, "2 lines above the table, the first: `T`"),
        ('"Source","World Bank",\n\na,b,c,d\n1,2,3,x\n', ["a", "b", "c", "d"], 1, "`Source World Bank`"),
        ("# made by x\n# on Monday\na,b\n1,2\n", ["a", "b"], 1, "2 lines above the table"),
        ("m,k,e\n1,2,3\n4,5,6\n\nSource: x\n", ["m", "k", "e"], 2, "1 line below the table left out"),
    ],
)
def test_lines_around_the_table_are_named(text: str, header: list[str], count: int, notes: str) -> None:
    preview = read(text)
    assert (names(preview), preview.count) == (header, count)
    assert notes in "; ".join(preview.notes)


@pytest.mark.parametrize(
    ("text", "header", "shape", "note"),
    [
        ("a,b\n1,2,3\n4,5,6\n", ["a", "b", ""], "2 rows × 3 columns", "rows are wider than the header"),
        ("a,b\nx,2,3\ny,5,6\n", ["", "a", "b"], "2 rows × 3 columns", "row names"),
        ("a,b\n1,2,\n3,4,\n", ["a", "b"], "2 rows × 2 columns", ""),
        ("a,b\n1,2\n3,4,5\n6,7\n", ["a", "b"], "3 rows × 2 columns", "1 row has more cells (up to 3)"),
        ("a,b,c\n1,2\n3,4,5\n6,7,8\n", ["a", "b", "c"], "3 rows × 3 columns", "1 row has fewer cells"),
        ("1.5,x\n2.5,y\n3.5,z\n", ["1", "2"], "3 rows × 2 columns", "no header line"),
        ("Ada,36\nBob,40\n", ["Ada", "36"], "1 row × 2 columns", "the first line may be a row"),
        ("land,2000,2001\nA,5,6\n", ["land", "2000", "2001"], "1 row × 3 columns", ""),
        ("t,p\ns,hPa\n1,2\n3,4\n5,6\n", ["t", "p"], "3 rows × 2 columns", "1 more header line: `s hPa`"),
        (
            "a,b\n--,--\n1,2\n3,4\n",
            ["a", "b"],
            "2 rows × 2 columns",
            "",
        ),
        (
            "3,2\nid,z\n1,4.5\n2,5\n3,6\n",
            ["id", "z"],
            "3 rows × 2 columns",
            "the line above the table: `3 2`",
        ),
        ("a\tb\nc\td\n\tclass\n1\tx\n", ["a", "b"], "1 row × 2 columns", "2 more header lines: `c d`"),
    ],
)
def test_header_and_ragged_rows(text: str, header: list[str], shape: str, note: str) -> None:
    preview = read(text, ".tab" if "\t" in text else ".csv")
    assert (names(preview), preview.shape) == (header, shape)
    assert note in "; ".join(preview.notes)
    assert bool(note) == bool(preview.notes)


@pytest.mark.parametrize(("ragged", "doubted"), [(0, False), (1, False), (4, True)])
def test_rows_that_do_not_agree_are_a_doubt(ragged: int, doubted: bool) -> None:
    preview = read("a,b\n" + "1,2\n" * 8 + "1,2,3\n" * ragged)
    assert ("many rows do not agree, so it may be no table of this kind" in preview.notes) == doubted


@pytest.mark.parametrize(
    ("mark", "missing"), [("?", 1), ("-", 1), (".", 1), ("n.a.", 1), ("#N/A N/A", 1), ("x", 0)]
)
def test_marks_of_missing_values(mark: str, missing: int) -> None:
    preview = read(f"id,v\n1,{mark}\n2,3\n")
    assert preview.columns[1].missing == missing
    assert preview.columns[1].type == ("int" if missing else "text")


def test_marks_in_text_are_text_unless_numbers_have_them() -> None:
    assert read("id,v\n1,-\n2,x\n").columns[1].missing == 0
    assert [c.missing for c in read("id,v,w\n1,-,-\n2,x,1\n3,.,2\n").columns] == [0, 1, 1]


def test_torn_record_of_a_beginning_is_dropped() -> None:
    preview = read('a,b\n1,"x\ny"\n2,"half\na line', whole=False)
    assert (preview.count, preview.columns[1].missing) == (1, 0)


def test_quote_without_partner_loses_no_rows() -> None:
    preview = read('a,b\n"x,1\n2,3\n4,5\n')
    assert preview.shape == "3 rows × 2 columns"
    assert "a quotation mark has no partner" in preview.notes[0]


@pytest.mark.parametrize(
    ("text", "shape"),
    [("a b c\n1 2 3\n4 5 6\n", "2 rows × 3 columns"), ("  1.0   2.0\n 10.0  20.0\n", "2 rows × 2 columns")],
)
def test_columns_of_spaces_in_text_files(text: str, shape: str) -> None:
    assert read(text, ".dat").shape == shape


@pytest.mark.parametrize("text", ["Dear all,\n\nwe met on Monday, and agreed.\nBye, Ada\n", "one\ntwo\n", ""])
def test_prose_in_text_files_is_no_table(text: str) -> None:
    with pytest.raises(NoTable):
        read(text, ".txt")


GUESSES = """\
302 of 333 known birds right when left out (90.7%)
species    island  body_mass_g  guess sure
 Adelie Torgersen         3475 female 0.98
 Gentoo    Biscoe         4875 female 0.55
sure (0.90 or more): 7 of 9
"""
REPORTS = [
    GUESSES,
    GUESSES.replace("sure (", " Gentoo    Biscoe         4875 female 0.55\n" * 7 + "sure ("),
    GUESSES.replace("4875", "4875 g").replace("302", "- 302"),
    "302 of 333 known\nspecies island mass guess\n"
    + "Adelie Biscoe 3475 male\n" * 9
    + "And 9 more are not shown here.\n" * 2,
    "a\tb\tc\td\te\n" + "1\t2\t3\t4\t5\n" * 6 + "1\t2\n" * 2,
    "a;b;c;d\n" + "1;2;3;4\n" * 5 + "1;2;3;4;5\n",
    "".join(f"{n},{n},{n},{n}{',x' * (n % 5 == 0)}\n" for n in range(100)),
]


@pytest.mark.parametrize("text", REPORTS)
@pytest.mark.parametrize("suffix", [".txt", ".dat", ".data"])
def test_report_whose_rows_disagree_is_no_table(text: str, suffix: str) -> None:
    with pytest.raises(NoTable):
        read(text, suffix)


@pytest.mark.parametrize("text", REPORTS[4:])
def test_file_that_is_called_a_table_is_shown_with_notes(text: str) -> None:
    assert any("cells" in note for note in read(text, ".csv").notes + read(text, ".tsv").notes)


def test_text_table_may_have_a_few_odd_rows() -> None:
    preview = read("a\tb\n" + "1\t2\n" * 40 + "1\n1\t2\t3\n" + "3\t4\n" * 40, ".txt")
    assert "1 row has more cells (up to 3) than the table; they are not shown" in preview.notes
    assert read("a|b|c\n1|2|3\n4|5|6\n7|8\n", ".txt").shape == "3 rows × 3 columns"


def test_caption_for_the_model_has_columns_and_doubts() -> None:
    assert for_model(read("T `x`\nname;v;w\nA;1,5;?\nB;2,5;3\n")) == (
        "2 rows × 3 columns; separated by `;`; the line above the table: `T 'x'`; decimal commas; "
        "`?` counted as missing; columns: `name` (text), `v` (float), `w` (int, 1 missing)"
    )
