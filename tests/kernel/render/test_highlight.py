"""Colours of commands and code in the record, and how long commands took."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_kernel.kernel.render.ansi import AnsiToHtml
from agent_kernel.kernel.render.highlight.commands import coloured_command
from agent_kernel.kernel.render.items import render_all, render_item
from agent_kernel.kernel.render.text import COLOUR, clean, duration
from tests.kernel.render.test_render import code_call, shell_call, shell_output

KEYWORD = "\x1b[35m"
COMMANDS = [
    "python3 - <<'EOF'\nimport os\nprint('a')\nEOF\nls $HOME | wc -l",
    "python3 -c 'import os' && echo \"$x\" # done",
    'python3 -u -c "import os\nprint(1)"\nls',
    "python <<X",
    "python <<X\nimport os",
    "cat <<'EOF' > a.py\nimport os\nEOF",
    "python3 -c 'import os",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_colours_leave_a_command_as_it_is(command: str) -> None:
    assert COLOUR.sub("", coloured_command(command)) == command


@given(st.text(alphabet="pyhton3 -c<'\"EOF\n$#\\;"))
def test_colours_leave_any_text_as_it_is(text: str) -> None:
    command = clean(text)
    assert COLOUR.sub("", coloured_command(command)) == command


@pytest.mark.parametrize("command", [COMMANDS[0], COMMANDS[1], COMMANDS[2], COMMANDS[4]])
def test_python_within_a_command_is_coloured(command: str) -> None:
    assert f"{KEYWORD}import\x1b[0m" in coloured_command(command)


def test_text_for_other_programs_is_no_python() -> None:
    assert f"{KEYWORD}import" not in coloured_command(COMMANDS[5])


def test_shell_after_a_program_is_coloured_as_shell() -> None:
    assert "\x1b[33m$HOME\x1b[0m" in coloured_command(COMMANDS[0])
    assert "\x1b[2;3m# done" in coloured_command(COMMANDS[1])


def test_commands_have_their_colours_in_the_html_only() -> None:
    bundle = render_item(shell_call(COMMANDS[0]))
    assert bundle is not None
    assert AnsiToHtml().html(f"{KEYWORD}import\x1b[0m") in bundle.data["text/html"]
    assert "\x1b" not in bundle.data["text/html"] + bundle.data["text/markdown"] + bundle.data["text/plain"]


def test_how_long_commands_took_is_in_the_metadata_only() -> None:
    timed, untimed = (render_item(shell_output("out"), seconds=each) for each in ([0.04, 75.2, None], []))
    assert timed is not None
    assert untimed is not None
    assert timed.data == untimed.data
    assert timed.metadata["agent_kernel"]["seconds"] == [0.0, 75.2, None]
    assert "seconds" not in untimed.metadata["agent_kernel"]


def test_a_chart_says_where_its_json_is() -> None:
    chart = {"application/vnd.vegalite.v5+json": {"mark": "bar"}, "text/plain": "chart"}
    picture = {"output_type": "display_data", "data": {"text/html": "<b>x</b>"}}
    printed = {"output_type": "stream", "name": "stdout", "text": "1"}
    outputs = [printed, picture, printed, {"output_type": "display_data", "data": chart}]
    item = {**code_call("x"), "agent_kernel": {"outputs": outputs}}
    about = [bundle.metadata["agent_kernel"].get("chart") for bundle in render_all(item)]
    assert about == [None, None, None, 3]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (125, "2 min 5 s"), (4_200, "1 h 10 min")],
)
def test_durations_are_readable(seconds: float, words: str) -> None:
    assert duration(seconds) == words
