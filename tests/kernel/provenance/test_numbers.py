"""Which numbers a printed text has, and which of an answer's are figures."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_kernel.kernel.provenance.figures import figures
from agent_kernel.kernel.provenance.numbers import numbers


def read(text: str, *, prose: bool = False) -> list[tuple[str, str]]:
    return [(each.text, f"{each.value:f}") for each in numbers(text, prose=prose) if each.value is not None]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("mean    3.14159\n", [("3.14159", "3.14159")]),
        ("-0.5 +3 (-2.5) −7.25", [("-0.5", "-0.5"), ("+3", "3"), ("-2.5", "-2.5"), ("−7.25", "-7.25")]),
        (".5 and 3.", [(".5", "0.5"), ("3", "3")]),
        ("1.5e-05, 2E3.", [("1.5e-05", "0.000015"), ("2E3", "2000")]),
        ("1.5 × 10⁻⁵ or 3x10^4", [("1.5 × 10⁻⁵", "0.000015"), ("3x10^4", "30000")]),
        ("total 12,345 of 1,234,567.5", [("12,345", "12345"), ("1,234,567.5", "1234567.5")]),
        (
            "1_234_567 12'345 12\u202f345.5",
            [("1_234_567", "1234567"), ("12'345", "12345"), ("12\u202f345.5", "12345.5")],
        ),
        ("12% 12.5 % 3 percent", [("12%", "12"), ("12.5 %", "12.5"), ("3 percent", "3")]),
        ("12k 5M 1.2 million", [("12k", "12000"), ("5M", "5000000"), ("1.2 million", "1200000")]),
        ("5MB 3kg 2x $7.5 US$8", [("5", "5"), ("3", "3"), ("2", "2"), ("7.5", "7.5"), ("8", "8")]),
        ('{"mean":3.14,"n":[1, 2.5]}', [("3.14", "3.14"), ("1", "1"), ("2.5", "2.5")]),
        ("a,12,345,7\n1,2.5,30,4\n", [(each, each) for each in ["12", "345", "7", "1", "2.5", "30", "4"]]),
        ("|  4.5|12.25 ;7", [("4.5", "4.5"), ("12.25", "12.25"), ("7", "7")]),
        ("x1 Q3 3rd 12ab 0x1f file2.csv 3.csv #7 a_9", []),
        ("2024-03-01 12:30:05 1/2/2024 3/4 10-20 covid-19 GPT-4", []),
        ("1.2.3 v2.0 127.0.0.1 /data/3 C:\\3 %20 $HOME$4", []),
        ("9" * 100, []),
    ],
)
def test_numbers_are_those_written_alone(text: str, found: list[tuple[str, str]]) -> None:
    assert read(text) == found


@pytest.mark.parametrize("line", ["12,345", "3,14", "1.234,56", "1,234.5"])
def test_comma_on_a_line_alone_may_separate_columns(line: str) -> None:
    assert [(each.text, each.value) for each in numbers(f"{line}\n{line}")] == [(line, None)] * 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3,14", "3.14"),
        ("12,345", "12345"),
        ("1 234,5", "1234.5"),
        ("1.234,56", "1234.56"),
        ("1 234 567", "1234567"),
    ],
)
def test_separators_of_prose(text: str, value: str) -> None:
    assert read(text, prose=True) == [(text, value)]


@pytest.mark.parametrize("text", ["12 345", "1,2,3", "1,2.5"])
def test_prose_that_can_be_read_in_two_ways_has_no_number(text: str) -> None:
    assert read(text, prose=True) == []


@pytest.mark.parametrize(
    "text",
    [
        "We kept 3 of 7 columns, 10 or 100 rows, and 100%.",
        "12. The twelfth\n13) The next\n> 14. Quoted\n- 15. Nested",
        "## 2.1 Data\n### **12** Rows",
        "See Figure 12, Table 3.2, step 45, row 17, cell 23 and section 4.4.",
        "In 2024, on 12 March and April 23, at 12:30, on the 21st.",
        "Python 3.11, pandas 2.25 and version 17.5",
        "p < 0.05, p<0.001, n ≥ 30, R² >= 0.95",
        "a 95% CI and the 99% confidence level",
        "12 345 in [a link](https://a.example/77.5?b=88.5), https://b.example/66.5 and &#8364;",
        "\n[... 12,345 characters left out of the notebook ...]\n",
    ],
)
def test_names_dates_and_limits_are_no_figures(text: str) -> None:
    assert [each.text for each in figures(text)] == []


def test_figures_of_an_answer_in_order() -> None:
    text = (
        "1. The mean is **4,201.8 g** of 344 penguins (2007–2009), 12.3% more.\n"
        "> 45 are missing; -7 and 0.5 are odd.\n\n| n | share |\n|--|--|\n| 1,024 | 3.5% |\n"
    )
    expected = ["4,201.8", "344", "12.3%", "45", "-7", "0.5", "1,024", "3.5%"]
    assert [each.text for each in figures(text)] == expected


@given(
    st.text(alphabet="0123456789.,-+eE%kM '’_\u00a0\u202f:/\n\tx|$#()[]×10⁻⁵", max_size=80)
    | st.text(max_size=80)
)
def test_numbers_lie_where_they_say_in_order(text: str) -> None:
    for prose in (False, True):
        position = 0
        for number in numbers(text, prose=prose):
            assert number.start >= position
            assert text[number.start : number.end] == number.text
            position = number.end


@given(st.decimals(min_value=-(10**12), max_value=10**12, allow_nan=False, places=3))
def test_value_is_read_as_written(value: Decimal) -> None:
    for form in ("{}", "{:,}", "{:e}", "{:g}"):
        written = form.format(value)
        [number] = numbers(f"x = {written};")
        assert number.text == written
        assert number.value == Decimal(written.replace(",", ""))
