from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_kernel.kernel.render.ansi import MAX_SPANS, AnsiToHtml
from agent_kernel.kernel.render.text import clean, clean_but_colours


def painted(text: str) -> str:
    return AnsiToHtml().html(clean_but_colours(text))


def brightness(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    darker, brighter = sorted((brightness(one), brightness(other)))
    return (brighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize(
    ("sequence", "style"),
    [
        ("\x1b[31m", "color: #cd3131"),
        ("\x1b[1m", "font-weight: bold"),
        ("\x1b[2m", "opacity: 0.7"),
        ("\x1b[90m", "opacity: 0.7"),
        ("\x1b[3;4m", "font-style: italic; text-decoration: underline"),
        ("\x1b[4;9m", "text-decoration: underline line-through"),
        ("\x1b[1;38;5;27m", "color: #005fff; font-weight: bold"),
        ("\x1b[38:2::205:49:49m", "color: #cd3131"),
        ("\x1b[38:2:1:205:49:49m", "color: #cd3131"),
        ("\x1b[38:2:205:49:49m", "color: #cd3131"),
        ("\x1b[1;38:5:27m", "color: #005fff; font-weight: bold"),
        ("\x1b[4:3m", "text-decoration: underline"),
        ("\x1b[1;4:0m", "font-weight: bold"),
        ("\x1b[3;58:2::255:0:0m", "font-style: italic"),
        ("\x1b[3;58;2;255;0;0m", "font-style: italic"),
        ("\x1b[3;58;5;9m", "font-style: italic"),
        ("\x1b[41;37m", "color: #ffffff; background-color: #cd3131"),
        ("\x1b[43m", "color: #000000; background-color: #b48c00"),
        ("\x1b[7m", "color: #ffffff; background-color: #6e6e6e"),
        ("\x1b[31;7m", "color: #ffffff; background-color: #cd3131"),
    ],
)
def test_colours_and_weights(sequence: str, style: str) -> None:
    assert painted(f"{sequence}word\x1b[0m after") == f'<span style="{style}">word</span> after'


@pytest.mark.parametrize(
    "sequence", ["\x1b[0m", "\x1b[m", "\x1b[37m", "\x1b[30m", "\x1b[8m", "\x1b[5m", "\x1b[38;5m"]
)
def test_what_leaves_text_as_it_is(sequence: str) -> None:
    """White and black are the page's own colour, whichever it is; nothing blinks and nothing is concealed."""
    assert painted(f"{sequence}word") == "word"


@pytest.mark.parametrize("off", ["0", "", "22", "39;22", "1:2;22"])
def test_what_was_switched_on_is_switched_off(off: str) -> None:
    assert painted(f"\x1b[1mon\x1b[{off}moff").endswith("</span>off")


def test_colours_go_on_over_lines_and_pieces() -> None:
    painter = AnsiToHtml()
    assert painter.html("\x1b[31mone\n") == '<span style="color: #cd3131">one\n</span>'
    assert painter.html("two\x1b[0m three") == '<span style="color: #cd3131">two</span> three'


def test_a_progress_bar_is_at_its_last_state_in_its_last_colour() -> None:
    assert painted("\x1b[31m10%\r\x1b[32m99%\r100%\n") == '<span style="color: #0d9450">100%\n</span>'


@given(st.integers(0, 255))
def test_palette_colours_are_readable_on_white_and_black(number: int) -> None:
    style = re.search("color: (#[0-9a-f]{6})", painted(f"\x1b[38;5;{number}mword"))
    if style:  # greys have none
        assert contrast(style[1], "#ffffff") >= 3.4
        assert contrast(style[1], "#111111") >= 3.3


@given(*[st.integers(0, 255)] * 6)
def test_no_text_is_hidden_by_its_ground(r: int, g: int, b: int, r2: int, g2: int, b2: int) -> None:
    found = painted(f"\x1b[38;2;{r};{g};{b};48;2;{r2};{g2};{b2}mword")
    style = re.search("color: (#[0-9a-f]{6}); background-color: (#[0-9a-f]{6})", found)
    assert style
    assert contrast(style[1], style[2]) >= 3


SEQUENCES = st.sampled_from(
    ["\x1b[", "\x1b[31m", "\x1b[0m", "\x1b]8;;x\x07", "\x1b", "m", "<b>", "&", '"', "\r", "\n", "31;"]
)


@given(st.lists(SEQUENCES | st.text(max_size=3), max_size=20).map("".join))
def test_nothing_but_spans_comes_out_and_the_text_is_whole(text: str) -> None:
    found = painted(text)
    assert set(re.findall("<[^>]*>", found)) <= {
        "</span>",
        *re.findall(r'<span style="[a-z0-9#:; .-]+">', found),
    }
    assert html.unescape(re.sub("<[^>]*>", "", found)).replace("\x1b", "") == clean(text)


def test_a_text_of_colours_alone_stays_small() -> None:
    found = painted("".join(f"\x1b[3{n % 7 + 1}m{n % 10}" for n in range(50_000)))
    assert found.count("<span") == MAX_SPANS
    assert len(found) < 200_000
