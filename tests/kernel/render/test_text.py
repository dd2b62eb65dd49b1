from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_kernel.kernel.render.text import clean, clip, code, escape, fence, fold, markdown_text, size


@pytest.mark.parametrize(
    ("given_text", "seen"),
    [
        ("plain\ntext\t.", "plain\ntext\t."),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;a title\x07rest", "rest"),
        ("\x1b]8;;http://example.com\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;c2VjcmV0", ""),
        ("10%\r50%\r100%\ndone", "100%\ndone"),
        ("windows\r\nlines\r\n", "windows\nlines\n"),
        ("bell\x07 and nul\x00", "bell\\x07 and nul\\x00"),
        ("c1 \x9b31m", "c1 \\x9b31m"),
        ("safe\u202etxt.exe", "safe\\u202etxt.exe"),
        ("half \ud800 pair", "half \ufffd pair"),
    ],
)
def test_clean_shows_what_a_person_would_have_seen(given_text: str, seen: str) -> None:
    assert clean(given_text) == seen


@given(st.text())
def test_nothing_that_acts_on_a_terminal_survives(text: str) -> None:
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", clean(text))


@given(st.text())
def test_escaped_text_has_no_markup_and_reads_the_same(text: str) -> None:
    assert not set("<>\"'") & set(escape(text))
    assert html.unescape(escape(text)) == clean(text)


@given(st.text(st.sampled_from("a`~\n ")), st.sampled_from(["", "text"]))
def test_no_text_ends_its_fence_early(text: str, language: str) -> None:
    first, *body, last = fence(text, language).split("\n")
    marks = first.removesuffix(language)
    assert last == marks
    assert set(marks) == {"`"}
    assert len(marks) >= 3
    assert all(not line.strip().startswith(marks) for line in body)


@given(st.text(st.sampled_from("a`| \n"), min_size=1))
def test_no_text_ends_its_code_span_early(text: str) -> None:
    from markdown_it import MarkdownIt

    [inline] = (MarkdownIt().parse(f"x{code(text)}x")[1].children or [],)
    kinds = [token.type for token in inline]
    assert kinds == ["text", "code_inline", "text"]


@given(st.text(st.sampled_from("a|`*_[]<>~$!#&\\1 ")))
def test_markdown_text_means_only_itself(text: str) -> None:
    from markdown_it import MarkdownIt

    rendered = MarkdownIt().renderInline(f"x{markdown_text(text)}x")
    assert html.unescape(rendered) == f"x{text}x"


@given(st.text(st.sampled_from("ab\n"), max_size=3000), st.integers(1, 10), st.integers(0, 10))
def test_a_fold_loses_nothing(text: str, head: int, tail: int) -> None:
    folded = fold(text, head=head, tail=tail, line_length=20)
    assert folded.head + folded.middle + folded.tail == text
    assert len(folded.tail) <= tail * 21


def test_a_fold_keeps_head_and_tail_and_says_how_much_it_hides() -> None:
    folded = fold("".join(f"{n}\n" for n in range(100)), head=3, tail=2)
    assert (folded.head, folded.tail) == ("0\n1\n2\n", "98\n99\n")
    assert folded.hidden == "95 more lines"


def test_an_endless_line_is_folded_too() -> None:
    folded = fold("x" * 100_000, head=5, tail=2)
    assert len(folded.head) == 1500
    assert folded.hidden == "98,100 more characters"


def test_nothing_is_folded_for_three_lines() -> None:
    assert fold("1\n2\n3\n4\n5\n6\n", head=2, tail=1).middle == ""


def test_clip_keeps_both_ends() -> None:
    clipped = clip("a" * 60 + "b" * 60, 20)
    assert clipped.startswith("a" * 10 + "\n")
    assert clipped.endswith("\n" + "b" * 10)
    assert "100 characters left out" in clipped


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_960, "1.0 MB"),
        (2_147_483_648, "2.1 GB"),
        (3 * 10**12, "3.0 TB"),
    ],
)
def test_size_in_words(count: int, words: str) -> None:
    assert size(count) == words
