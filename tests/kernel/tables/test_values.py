"""Types of columns of text: dates as people write them, thousands and decimals, codes, missing values."""

from __future__ import annotations

import pytest

from agent_kernel.kernel.tables.delimited import read_text
from agent_kernel.kernel.tables.preview import Preview


def column(*values: str, suffix: str = ".tsv") -> Preview:
    """Return the preview of a table whose second column has these values."""
    separator = "\t" if suffix == ".tsv" else ","
    return read_text(
        "".join(f"{a}{separator}{b}\n" for a, b in [("n", "x"), *enumerate(values)]), suffix, whole=True
    )


def kind(*values: str, suffix: str = ".tsv") -> str:
    return column(*values, suffix=suffix).columns[1].type


@pytest.mark.parametrize(
    "values",
    [
        ("2024-01-31", "2024-02-29 10:30", "2024-01-31T10:30:00.5+02:00"),
        ("2024-01", "1999-12"),
        ("31.01.2024", "1.2.2024"),
        ("18.08.26", "02.09.27"),
        ("1/31/2024", "2/1/2024"),
        ("31/01/24", "01/02/24"),
        ("17-08-1984", "25-04-1985"),
        ("2012/01/01", "2015/12/31 23:00"),
        ("1/5/2011 00:00:00", "3/4/2011 9:30 PM"),
        ("20160525 13:30:00.023", "20160525 13:30:00.048"),
        ("28-Oct-90", "02-DEC-91"),
        ("3 March 2024", "31 Dec 2024 10:00"),
        ("Jan 31, 2024", "February 1, 2024"),
        ("Jan 2000", "Dec 2001"),
        ("Sat, 22 Apr 2017 15:11:58 -0500", "Fri, 21 Apr 2017 14:20:57 -0500"),
        ("1/31/2024", "", "NA", "?"),
    ],
)
def test_dates_are_recognised(values: tuple[str, ...]) -> None:
    assert kind(*values) == "date"


@pytest.mark.parametrize(
    "values",
    [
        ("1.2.3", "1.10.0"),  # versions
        ("10.0.0.1", "10.0.0.2"),  # addresses
        ("50-00-0", "75-12-7"),  # registry numbers of chemicals
        ("555-12-3456", "555-10-1234"),
        ("13/13/2024", "1/2/2024"),
        ("2024-1", "2024-13"),
        ("1/2", "3/4"),
        ("31/01/2024", "01/31/2024"),  # two orders
        ("18.08.26", "02-OCT-1926"),  # two forms
        ("May", "March 5"),
        ("Marchioness 5, 2024 and more", "x"),
        ("2024-01-31", "soon"),
        ("12:30", "13:45"),
    ],
)
def test_other_texts_are_no_dates(values: tuple[str, ...]) -> None:
    assert kind(*values) == "text"


@pytest.mark.parametrize("value", ["20240131", "1990", "2024.5"])
def test_numbers_are_no_dates(value: str) -> None:
    assert kind(value) in ("int", "float")


@pytest.mark.parametrize(
    ("values", "doubt"),
    [(("1/2/2024", "3/4/2024"), True), (("1/2/2024", "3/14/2024"), False), (("2024/1/2", "2024/3/4"), False)],
)
def test_order_of_day_and_month_in_doubt(values: tuple[str, ...], doubt: bool) -> None:
    assert ("dates whose day and month may be in either order" in column(*values).notes) is doubt


@pytest.mark.parametrize(
    ("suffix", "values", "expected", "note"),
    [
        (".csv", ('"6,718"', "776"), "int", "commas separate thousands"),
        (".csv", ('"23,288  "', '"1,022  "'), "int", "commas separate thousands"),
        (".csv", ('"1,234.5"', "7"), "float", "commas separate thousands"),
        (".csv", ('"1,234,567"', '"1,5"'), "text", ""),
        (".csv", ('"1,5"', '"2,25"'), "text", ""),
        (".tsv", ("1,234,567", "1,234"), "int", "commas separate thousands"),
        (".tsv", ("1,234.50", "17.25"), "float", "commas separate thousands"),
        (".tsv", ("1,234", "5,678"), "float", "decimal commas (or thousands)"),
        (".tsv", ("1,234", "5,6"), "float", "decimal commas"),
        (".tsv", ("1,5", "2.5"), "text", ""),
    ],
)
def test_commas_in_numbers(suffix: str, values: tuple[str, ...], expected: str, note: str) -> None:
    preview = column(*values, suffix=suffix)
    assert preview.columns[1].type == expected
    assert [each for each in preview.notes if "comma" in each] == ([note] if note else [])


@pytest.mark.parametrize(
    ("values", "expected", "missing"),
    [
        ((".", "."), "", 2),
        (("NONE", "7"), "int", 1),
        (("none", "some"), "text", 0),
        (("*", "", "*"), "text", 1),  # stars may be footnotes
        (("007", "12"), "text", 0),
        (("0", "0.5"), "float", 0),
    ],
)
def test_marks_and_codes(values: tuple[str, ...], expected: str, missing: int) -> None:
    found = column(*values).columns[1]
    assert (found.type, found.missing) == (expected, missing)


DOUBT = "points separate thousands (or not in every column)"
SURE = "points separate thousands"


@pytest.mark.parametrize(
    ("rows", "types", "note"),
    [
        (["1.073.096;1,5", "2.000.000;2,25"], ["int", "float"], DOUBT),
        (["1.073.096,50;a", "12,5;b"], ["float", "text"], ""),  # the decimal comma says it
        (["1.073.096;a", "12,5;b"], ["float", "text"], SURE),
        (["1.073;a", "12,55;b"], ["float", "text"], SURE),
        (["1.073.096;1,5", "999;n.a."], ["int", "float"], DOUBT),
        (["-1.073.096;1,5", "-;2,5"], ["int", "float"], DOUBT),
        (["1.073.096;a", "2.000.000;b"], ["text", "text"], ""),  # no decimal commas
        (["1.073.096;1.5", "2.000.000;2.5"], ["text", "float"], ""),
        (["1.073.096;1,5", "12.5;2,5"], ["text", "float"], ""),
        (["1.073.09;1,5", "1.073.091;2,5"], ["text", "float"], ""),  # no thousands
        (["01.073.096;1,5", "1.073.091;2,5"], ["text", "float"], ""),
        (["1.5;1,5", "2.5;2,5"], ["float", "float"], ""),
    ],
)
def test_points_that_separate_thousands(rows: list[str], types: list[str], note: str) -> None:
    found = read_text("\n".join(["a;b", *rows, ""]), ".csv", whole=True)
    assert [column.type for column in found.columns] == types
    assert [each for each in found.notes if "points" in each] == ([note] if note else [])
