"""Money stays money and formulas stay formulas, in a message's HTML and Markdown."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from agent_kernel.kernel.render.bundles import note, notice, table
from agent_kernel.kernel.render.items import render_item
from agent_kernel.kernel.render.markdown import to_html, to_safe_markdown
from agent_kernel.kernel.render.mathematics import FORMULA, IGNORED
from tests.kernel.render.test_markdown import permissive

MONEY = [
    "from $200 million to $700 million",
    "US$5-US$7, A$5 or R$3",
    "**$5**–**$7** and *$9*",
    "between $5/kg and $7/kg ($k, then $m)",
    "5$, 7$ or 9$",
    "$5 or 7$ each",
    "$10–$20 per month; was $25",
    "set $HOME and $PATH, or $HOME:$PATH",
    "restaurants from $$ to $$$",
    "| low | high |\n|---|---|\n| $1 | $2 |\n| $3 | $4 |",
    "- $5\n- $7\n\n> $8, $9",
    "already \\$5 and \\$7",
]
ALIGN = "\\begin{align}\na &= b \\\\\nc &= d\n\\end{align}"
FORMULAS = [
    ("so $x^2$ grows", "$x^2$"),
    ("the $n$th of $k$", "$n$"),
    ("a 3$\\times$3 matrix", "$\\times$"),
    ("$ab + cd$", "$ab + cd$"),
    ("$a_1 * b_1 * c$ and *this*", "$a_1 * b_1 * c$"),
    ("$$E = mc^2$$", "$$E = mc^2$$"),
    ("$$\n\\frac{a}{b}\n\n- c\n= d\n$$\nand on", "$$\n\\frac{a}{b}\n\n- c\n= d\n$$"),
    ("\\(\\alpha\\) is", "$\\alpha$"),
    ("\\[\nx = 1\n\\]", "$$\nx = 1\n$$"),
    ("as \\[ y = \\text{the cost} \\] says", "$$ y = \\text{the cost} $$"),
    (
        "\\begin{align}\na &= b \\\\\nc &= d\n\\end{align}",
        "\\begin{align}\na &= b \\\\\nc &= d\n\\end{align}",
    ),
    ("$P(a<b) = 1$, which costs $5 to $7", "$P(a< b) = 1$"),
]
_FORMULA = re.compile(rf'<(span|div) class="{FORMULA}">(.*?)</\1>', re.DOTALL)
_BARE_DOLLAR = re.compile(r"(?<!\\)\$")


def plain_html(markdown: str) -> str:
    return str(MarkdownIt("commonmark").enable("table").render(markdown))


@pytest.mark.parametrize("text", MONEY)
def test_money_is_no_formula(text: str) -> None:
    written = to_safe_markdown(text)
    assert FORMULA not in to_html(text)
    assert not _BARE_DOLLAR.search(written)
    assert plain_html(written) == plain_html(text)


@pytest.mark.parametrize(("text", "formula"), FORMULAS)
def test_formula_is_kept_whole(text: str, formula: str) -> None:
    html = to_html(text)
    assert len(_FORMULA.findall(html)) >= 1
    assert formula in to_safe_markdown(text)
    assert "<em>" not in _FORMULA.findall(html)[0][1]


def test_formula_and_money_in_one_line() -> None:
    text = "$x$ costs $5, \\(y\\) costs $7, and `$z` is code"
    assert [found[1] for found in _FORMULA.findall(to_html(text))] == ["$x$", "\\(y\\)"]
    assert to_safe_markdown(text) == "$x$ costs \\$5, $y$ costs \\$7, and `$z` is code"


@pytest.mark.parametrize(
    "code", ["`$5` and ``a `$6``", "    $5 and $6", "```sh\n$A $B\n```", "> ```\n> $5 $6\n> ```"]
)
def test_dollars_in_code_stay(code: str) -> None:
    assert to_safe_markdown(code) == code
    assert FORMULA not in to_html(code)


@pytest.mark.parametrize(
    "text", ["$" * 20_000, "\\(" * 10_000, "\\[" * 10_000, "$a" * 10_000, "`$" * 10_000, "$$a\n" * 5_000]
)
def test_many_delimiters_are_read_in_bounded_steps(text: str) -> None:
    assert to_html(text)
    assert to_safe_markdown(text)


@pytest.mark.parametrize(
    "html",
    [
        table(["from $2", "to $3"], [["$200 million", "$700 million"]], "`$a` and `$b`").bundle(),
        note("Wrote `$5` and $6"),
        notice("It costs $5 to $6"),
        render_item({"type": "message", "content": [{"type": "output_text", "text": "$5 to $6"}]}),
        render_item({"type": "clock", "output": "$5 to $6"}),
    ],
)
def test_dollars_of_any_output_are_ignored(html: object) -> None:
    assert html.data["text/html"].startswith(f'<div class="{IGNORED}">')  # type: ignore[attr-defined]


PIECES = ["$", "$$", "\\(", "\\)", "\\", "`", "x", "<b>", " ", "\n", "5", "^"]


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_no_combination_of_delimiters_acts(text: str) -> None:
    written = to_safe_markdown(text)
    assert "<b>" not in to_html(text)
    assert "<b>" not in permissive(written)
    assert written.count("\n") == text.count("\n")
