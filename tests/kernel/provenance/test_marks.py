"""Answers with marks: links in HTML, footnotes in Markdown and plain text, and nothing else changed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_kernel.kernel.provenance import evidence
from agent_kernel.kernel.provenance.turn import TurnItems
from agent_kernel.kernel.render.bundles import Bundle
from agent_kernel.kernel.render.items import render_item
from agent_kernel.kernel.render.stored import ITEM_MIME

HTML, MARKDOWN, PLAIN = "text/html", "text/markdown", "text/plain"


def answer(text: str) -> dict[str, Any]:
    return {"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": text}]}


def shell(stdout: str) -> dict[str, Any]:
    part = {"stdout": stdout, "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}
    return {"type": "shell_call_output", "id": "sho_1", "status": "completed", "output": [part]}


def python(logs: str) -> dict[str, Any]:
    outputs = [{"type": "logs", "logs": logs}]
    return {
        "type": "code_interpreter_call",
        "id": "ci_1",
        "status": "completed",
        "code": "x",
        "outputs": outputs,
    }


def shown(*items: dict[str, Any], asked: str = "", again: int = 0, linked: bool = True) -> list[Bundle]:
    turn = TurnItems(asked, again, linked=linked)
    return [bundle for item in items for bundle in turn.render(item)]


def anchor(bundle: Bundle) -> str:
    [found] = re.findall(r'<div id="([a-z0-9-]+)"', bundle.data[HTML])
    return str(found)


@pytest.mark.parametrize("output", [shell, python])
def test_figure_leads_to_the_output_that_has_it(output: Any) -> None:
    first, second, said = shown(
        output("n 344\n"), output("mean 4201.754385964912\n"), answer("4,201.8 g of 344.")
    )
    title = "Rounded from 4201.754385964912, output 2: mean 4201.754385964912"
    assert f'<a href="#{anchor(second)}" title="{title}">4,201.8</a> g of ' in said.data[HTML]
    assert f'<a href="#{anchor(first)}" title="Printed in output 1: n 344">344</a>.' in said.data[HTML]
    assert "Figures in this turn&#x27;s outputs: 2 printed (1 rounded).</summary>" in said.data[HTML]
    assert said.data[PLAIN] == (
        "4,201.8[a] g of 344[b].\n\n"
        "[a] Rounded from 4201.754385964912, output 2: mean 4201.754385964912\n"
        "[b] Printed in output 1: n 344"
    )
    assert said.data[MARKDOWN] == (
        "4,201.8\\[a\\] g of 344\\[b\\].\n\nFigures in this turn's outputs: 2 printed (1 rounded).\n\n"
        "- \\[a\\] Rounded from 4201.754385964912, output 2: `mean 4201.754385964912`\n"
        "- \\[b\\] Printed in output 1: `n 344`"
    )


def test_figure_leads_to_the_display_that_shows_it() -> None:
    table = "<table><tr><th>mass_g</th></tr><tr><td>4201.75</td></tr><tr><td>57</td></tr></table>"
    page = "<script>x</script><p>88.5</p>"
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": "n 344\n"},
        {"output_type": "display_data", "data": {"text/html": table, "text/plain": "hidden 99.5"}},
        {"output_type": "display_data", "data": {"text/html": page, "text/plain": "hidden 99.5"}},
        {"output_type": "stream", "name": "stdout", "text": "after 12.25\n"},
    ]
    call = {"type": "code_interpreter_call", "id": "ci_1", "status": "completed", "code": "x = 66.5"}
    item = {**call, "agent_kernel": {"outputs": outputs}}
    *made, said = shown(item, answer("4201.75, 344, 57, 12.25, 66.5, 88.5 and 99.5"))
    assert said.data[PLAIN].startswith("4201.75[a], 344[b], 57[c], 12.25[d], 66.5[?], 88.5[?] and 99.5[?]")
    assert re.findall('href="#([^"]+)" title', said.data[HTML]) == [anchor(made[n]) for n in (1, 0, 1, 3)]


def test_figures_without_a_source_are_marked() -> None:
    _, said = shown(shell("0.499 0.501"), answer("About 0.5 of 77.7, or 88."), asked="Of the 88?")
    assert said.data[PLAIN] == (
        "About 0.5[a] of 77.7[?], or 88.\n\n"
        "[a] Not linked, it may be 0.499 or 0.501\n[?] Not found in the text of this turn's outputs"
    )
    assert '<span title="Not found in the text of this turn&#x27;s outputs" style=' in said.data[HTML]
    assert "outputs: 1 ambiguous, 1 not found in their text." in said.data[HTML]


def test_only_outputs_above_an_answer_are_its_sources() -> None:
    said, _, again = shown(answer("It is 77.7."), shell("77.7"), answer("It is 77.7."))
    assert said.data[PLAIN].startswith("It is 77.7[?].")
    assert again.data[PLAIN].startswith("It is 77.7[a].")


def test_what_the_user_says_meanwhile_needs_no_source() -> None:
    turn = TurnItems("Go on.")
    turn.said("Use 77.7.")
    [bundle] = turn.render(answer("I used 77.7 and 88.8."))
    assert bundle.data[PLAIN].startswith("I used 77.7 and 88.8[?].")


@pytest.mark.parametrize(
    "text",
    [
        "`344` and ``344 344``",
        "```\n344\n```",
        "```text 344\n344",
        "    344",
        "[344 penguins](http://a.example/344)",
        "<http://a.example/344>",
        "$x_{344} = 344$ and $$344$$",
        "[x][344]\n\n[344]: http://a.example/344",
        "3**44**",
        "&#344;",
    ],
)
def test_code_formulas_and_links_have_no_marks(text: str) -> None:
    _, said = shown(shell("344"), answer(text))
    unmarked = render_item(answer(text))
    assert unmarked is not None
    assert said.data == unmarked.data


def test_figures_in_emphasis_tables_and_lists_are_marked() -> None:
    text = "- **344**\n\n| n |\n|--|\n| 344 |\n\n> *344%* or ~~-344~~\n\n`344` $344"
    _, said = shown(shell("344 -344 344%"), answer(text))
    assert said.data[HTML].count("<a href=") == 5 + 3  # five figures, three notes
    assert "<code>344</code>" in said.data[HTML]
    assert "- **344[a]**" in said.data[PLAIN]
    assert "| 344[a] |" in said.data[PLAIN]


def test_answer_cut_off_within_code_has_no_notes_in_it() -> None:
    _, said = shown(shell("344"), answer("It is 344:\n\n```python\nx = "))
    assert said.data[MARKDOWN] == "It is 344:\n\n```python\nx = "
    assert said.data[PLAIN].startswith("It is 344[a]:")


def test_value_that_is_not_stored_is_neither_source_nor_missing() -> None:
    _, said = shown(shell("x" * 20_000 + " 77.5 " + "x" * 20_000), answer("It is 77.5."))
    missed = "Figures in this turn's outputs: 1 not found in the part that is kept."
    assert said.data[PLAIN] == f"It is 77.5.\n\n{missed}"


def test_no_figure_is_accused_if_outputs_are_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "MOST_NUMBERS", 5)
    turn = TurnItems()
    list(turn.render(shell("1.5 " * 6)))
    [bundle] = turn.render(answer("It is 1.5, not 77.5."))
    assert bundle.data[PLAIN].startswith("It is 1.5[a], not 77.5.\n")
    assert "1 not found in the part that is kept" in bundle.data[HTML]


def test_hostile_outputs_stay_text_in_the_notes() -> None:
    line = '344 </code></details><script>alert(1)</script> ![x](http://127.0.0.1/x.png) `" onclick=x <b>'
    _, said = shown(shell(line), answer("It is 344."))
    assert "<script" not in said.data[HTML] + said.data[MARKDOWN]
    assert "![" not in said.data[MARKDOWN]
    assert '" onclick' not in said.data[HTML]


def test_ids_of_outputs_differ_and_are_the_same_in_another_run() -> None:
    run = [anchor(each) for each in shown(shell("1"), shell("1"), shell("2"))]
    assert run == [anchor(each) for each in shown(shell("1"), shell("1"), shell("2"))]
    others = [anchor(each) for again in (1, 2) for each in shown(shell("1"), again=again)]
    others += [anchor(each) for each in shown(shell("1"), asked="else")]
    assert len({*run, *others}) == len(run) + len(others)


@settings(max_examples=40)
@given(st.text(max_size=200), st.lists(st.text(max_size=100), max_size=3))
def test_marks_change_nothing_but_figures(text: str, outputs: list[str]) -> None:
    hostile = text + " 344 **77.5%** `12.5` 1 234,5\n\n" + text
    items = [*map(shell, outputs), shell("344 0.775 12.5"), answer(hostile)]
    with_marks, without = shown(*items), shown(*items, linked=False)
    for one, other in zip(with_marks, without, strict=True):
        assert one.data[ITEM_MIME] == other.data[ITEM_MIME]
        assert one.metadata == other.metadata
    html = with_marks[-1].data[HTML].partition("<details><summary")[0]
    bare = re.sub(r'<a href="#output-[^>]*>([^<]*)</a>|<span title="[^>]*>([^<]*)</span>', r"\1\2", html)
    assert without[-1].data[HTML].startswith(bare)
