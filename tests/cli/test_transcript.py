"""What `demo` prints of a message."""

from __future__ import annotations

import io
from collections.abc import Mapping

from agent_kernel.cli.transcript import ITEM_MIME, WIDTH, Transcript


def shown(item: Mapping[str, object] | None, plain: str = "") -> str:
    out = io.StringIO()
    data = {"text/plain": plain, **({ITEM_MIME: item} if item else {})}
    Transcript(out).output("display_data", {"data": data})
    return out.getvalue()


def test_a_prompt_is_shown_as_it_was_written_and_prose_is_left_out() -> None:
    out = io.StringIO()
    transcript = Transcript(out)
    transcript.cell("markdown", "# Title")
    transcript.cell("code", "one\ntwo")
    assert out.getvalue() == "\n▶ one\n▶ two\n"


def test_commands_and_their_output() -> None:
    assert shown({"type": "shell_call", "action": {"commands": ["ls\npwd"]}}) == "  $ ls\n    pwd\n"
    output = {"type": "shell_call_output", "output": [{"stdout": "a\n", "stderr": "b\n"}]}
    assert shown(output) == "    a\n    b\n"


def test_long_output_says_how_much_is_left_out() -> None:
    text = "".join(f"{i}\n" for i in range(100))
    lines = shown({"type": "shell_call_output", "output": [{"stdout": text, "stderr": ""}]}).splitlines()
    assert len(lines) == 9
    assert lines[-1].endswith("92 more lines")


def test_command_output_reaches_terminal_without_escape_sequences() -> None:
    text = "\x1b]0;title\x07\x1b[2J\x9b31mred\rover\x00"
    printed = shown({"type": "shell_call_output", "output": [{"stdout": text, "stderr": ""}]})
    controls = {*range(32), *range(127, 160)} - {ord("\n")}
    assert not controls & set(map(ord, printed))


def test_long_prose_is_wrapped() -> None:
    lines = shown({"type": "message"}, "word " * 100).splitlines()
    assert len(lines) > 1
    assert all(len(line) <= WIDTH + 2 for line in lines)
    assert " ".join(lines).split() == ["word"] * 100


def test_an_error_is_shown() -> None:
    out = io.StringIO()
    Transcript(out).output("error", {"ename": "OutOfScript", "evalue": "It knows nothing."})
    assert "It knows nothing." in out.getvalue()
    assert "OutOfScript" not in out.getvalue(), "the name is for programs"
