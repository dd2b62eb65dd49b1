"""A figure is linked only to an output that has its value, and says what it was rounded from."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_kernel.kernel.provenance import evidence
from agent_kernel.kernel.provenance.evidence import Ambiguous, Evidence, Source
from agent_kernel.kernel.provenance.numbers import numbers


def found(figure: str, *outputs: str) -> Source | Ambiguous | None:
    printed = Evidence()
    for output in outputs:
        printed.add([output])
    [number] = numbers(figure, prose=True)
    return printed.source_of(number)


@pytest.mark.parametrize(
    ("figure", "output", "printed", "rounded"),
    [
        ("3.14", "pi 3.14159", "3.14159", True),
        ("3.14159", "pi 3.14159", "3.14159", False),
        ("3.14", "pi 3.14159\npi 3.1416", "3.14159", True),
        ("3.14", "pi 3.14159\npi 3.14", "3.14", False),
        ("3.10", "3.1", "3.1", False),
        ("4,202", "mean 4201.754385964912", "4201.754385964912", True),
        ("4,200", "mean 4201.754385964912", "4201.754385964912", True),
        ("12,345", "12,345\n", "12,345", False),
        ("12,345", "n 12345", "12345", False),
        ("1 234,5", "n 1234.5", "1234.5", False),
        ("12%", "share 12%", "12%", False),
        ("12%", "share 0.12", "0.12", False),
        ("12.3%", "share 0.12345", "0.12345", True),
        ("12.3%", "percent 12.3", "12.3", False),
        ("12.3%", "a 12.3% b 0.1234", "12.3%", False),
        ("1.2 million", "n 1234567", "1234567", True),
        ("12k", "n 12,000 rows", "12,000", False),
        ("3.2", "change -3.2", "-3.2", False),
        ("3.2%", "change -0.0321", "-0.0321", True),
        ("-3.2", "change -3.2", "-3.2", False),
        ("1.5 × 10⁻⁵", "p 1.5e-05", "1.5e-05", False),
        ("0.3", "0.30000000000000004", "0.30000000000000004", True),
        ("2.5", "2.45", "2.45", True),
        ("2.4", "2.45", "2.45", True),
    ],
)
def test_figure_and_what_it_was_printed_as(figure: str, output: str, printed: str, rounded: bool) -> None:
    source = found(figure, output)
    assert isinstance(source, Source)
    assert (source.printed.text, source.rounded, source.others) == (printed, rounded, 0)


@pytest.mark.parametrize(
    ("figure", "output"),
    [
        ("3.15", "3.14159"),
        ("3.14", "3.149"),
        ("3.142", "3.14"),
        ("1.2 million", "ratio 1.2"),
        ("-3.2", "3.2"),
        ("+3.2", "-3.2"),
        ("344", "x344 344.csv 2024-344 1.344.2"),
        ("345", "3,145,9\n"),
        ("12,345", "12.345"),
        ("14", "3,14\n"),
        ("1234", "[... 1234 characters left out ...]"),
    ],
)
def test_another_value_is_no_source(figure: str, output: str) -> None:
    assert found(figure, output if figure != "1234" else f"a\n{output}\nb") is None


def test_numbers_beside_a_cut_are_no_source() -> None:
    cut = "a 123\n[... 5,000 characters left out; the log is /run/boxd/log/1.log ...]\n456 789"
    assert [found(figure, cut) is None for figure in ("123", "456", "5,000")] == [True] * 3
    assert found("789", cut) is not None


def test_several_values_that_round_to_a_figure_are_ambiguous() -> None:
    assert found("0.5", "0.499 0.501") == Ambiguous(["0.499", "0.501"])
    assert isinstance(found("12", " ".join(f"12.{n:03}" for n in range(1, 400))), Ambiguous)


def test_last_of_several_outputs_is_linked_and_others_counted() -> None:
    source = found("344", "n 344", "nothing", "rows: 344\nn 344")
    assert isinstance(source, Source)
    assert (source.printed.output, source.printed.line, source.others) == (3, "rows: 344", 1)


def test_line_around_a_number_is_cut() -> None:
    source = found("3.5", f"{'a' * 500} 3.5 {'b' * 500}\nnext")
    assert isinstance(source, Source)
    assert source.printed.line == f"…{'a' * 49} 3.5 {'b' * 49}…"


FORMS = ("{:.0f}", "{:.1f}", "{:.2f}", "{:,.1f}", "{:.3g}", "{:.1%}", "{:.2e}")


@given(
    st.lists(st.floats(-1e7, 1e7).map(lambda value: round(value, 6)), min_size=1, max_size=40),
    st.lists(st.sampled_from(FORMS), min_size=1),
    st.floats(-1e7, 1e7),
)
def test_link_leads_to_the_exact_value(values: list[float], forms: list[str], other: float) -> None:
    text = "\n".join(f"value {value!r}" for value in values)
    printed = Evidence()
    printed.add([text])
    for value in [*values[:5], other]:
        for form in forms:
            [figure] = numbers(form.format(value), prose=True)
            source = printed.source_of(figure)
            if isinstance(source, Source):
                assert source.printed.text in text.split()
                assert is_value_or_rounding(form.format(value), source)
            elif value in values and source is None:
                pytest.fail(f"{figure.text} has a source: {value!r}")


def is_value_or_rounding(figure: str, source: Source) -> bool:
    """Whether the figure is the printed number, or what rounding it to the figure's digits gives."""
    written = Decimal(figure.rstrip("%").replace(",", ""))
    values = [Decimal(source.printed.text)]
    values += [values[0] * 100] if figure.endswith("%") else []
    if not source.rounded:
        return any(written in (value, abs(value)) for value in values)
    last = Decimal((0, (1,), int(written.as_tuple().exponent)))
    steps = [last, Decimal((0, (1,), int(written.normalize().as_tuple().exponent)))]
    return any(
        abs(written) == abs(value.quantize(step, mode))
        for value in values
        for step in steps
        for mode in (ROUND_HALF_EVEN, ROUND_HALF_UP)
    )


def test_millions_of_numbers_are_searched_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = Evidence()
    printed.add(["1.5\n" * 2_000_000, "seen 7.25"])
    assert not printed.complete
    [figure] = numbers("7.25", prose=True)
    assert printed.source_of(figure) is None

    monkeypatch.setattr(evidence, "MOST_NUMBERS", 10)
    few = Evidence()
    few.add([" ".join(f"{n}.5" for n in range(20))])
    assert [few.source_of(next(numbers(text))) is None for text in ("9.5", "10.5")] == [False, True]
    assert not few.complete
