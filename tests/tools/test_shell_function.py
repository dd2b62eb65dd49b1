"""The shell as a function: a call shown while it is written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_kernel.errors import MalformedModelOutput
from agent_kernel.protocol.assembler import Assembler
from agent_kernel.protocol.response import new_response
from agent_kernel.tools.shell.spec import LiveShellCall
from agent_kernel.tools.shell.tool import SHELL
from tests.tools.made import shell_delta

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
arguments = st.fixed_dictionaries(
    {"commands": st.lists(text, min_size=1, max_size=3) | text},
    optional={"timeout_ms": st.integers(1, 9999), "max_output_length": st.integers(1, 9999)},
)


@given(value=arguments, ascii_only=st.booleans(), size=st.integers(1, 9), backwards=st.booleans())
def test_whatever_the_cut_the_pieces_are_the_call(
    value: dict[str, object], ascii_only: bool, size: int, backwards: bool
) -> None:
    value = dict(reversed(value.items())) if backwards else value
    json_text = json.dumps(value, ensure_ascii=ascii_only)
    live = LiveShellCall(SHELL, "c1")
    assembler = Assembler(new_response({}, id="r", model="m", tools=[], created_at=0))
    assembler.begin()
    for start in range(0, len(json_text), size):
        for delta in live.write(json_text[start : start + size]):
            assembler.feed(delta)
    assembler.feed(live.done())
    assembler.end_step()
    (call,) = assembler.calls()
    commands = value["commands"]
    assert call.action.commands == ([commands] if isinstance(commands, str) else commands)
    assert call.action.timeout_ms == value.get("timeout_ms")


def test_a_command_is_shown_before_it_is_whole() -> None:
    live = LiveShellCall(SHELL, "c1")
    shown = [list(live.write(piece)) for piece in ('{"comm', 'ands": ["ls -', 'l", "pw', 'd"]}')]
    assert shown == [
        [],
        [shell_delta("c1", 0, "ls -")],
        [shell_delta("c1", 0, "l"), shell_delta("c1", 1, "pw")],
        [shell_delta("c1", 1, "d")],
    ]


def test_a_very_long_call_is_whole_in_the_end() -> None:
    command = "x" * 200_000
    live = LiveShellCall(SHELL, "c1")
    assert list(live.write(json.dumps({"commands": [command]}))) == []
    assert live.done().parts == (command,)


@pytest.mark.parametrize(
    "broken", ['{"commands": ["ls", 3]}', '{"commands": ["a"', '{"commands": ["\\ud800"]}', "no"]
)
def test_what_is_wrong_is_said_in_the_end(broken: str) -> None:
    live = LiveShellCall(SHELL, "c1")
    list(live.write(broken))
    with pytest.raises(MalformedModelOutput):
        live.done()


@pytest.mark.parametrize(
    "refused",
    [
        {"command": ["bash", "-lc", "echo hi"]},
        {"command": '["bash", "-lc", "echo hi"]'},
        {"command": ["ls"]},
        {"timeout_ms": 1, "command": ["ls"]},
    ],
)
def test_list_of_arguments_is_never_shown_as_commands(refused: dict[str, object]) -> None:
    live = LiveShellCall(SHELL, "c1")
    assert [delta for piece in json.dumps(refused) for delta in live.write(piece)] == []
    with pytest.raises(MalformedModelOutput, match="list of strings called commands"):
        live.done()


@pytest.mark.parametrize(
    ("written", "commands"),
    [
        ('["echo hi"]', ("echo hi",)),
        (' [\n"ls",\n"pwd"]\n', ("ls", "pwd")),
        ("[ -f x ] && ls", ("[ -f x ] && ls",)),
        ("[]", ("[]",)),
        ('["ls", 3]', ('["ls", 3]',)),
        ('["ls"', ('["ls"',)),
        ('{"a": 1}', ('{"a": 1}',)),
        ('"ls"', ('"ls"',)),
    ],
)
def test_quoted_list_of_commands_is_the_list(written: str, commands: tuple[str, ...]) -> None:
    live = LiveShellCall(SHELL, "c1")
    shown = [delta for piece in json.dumps({"commands": written}) for delta in live.write(piece)]
    assert live.done().parts == commands
    if written.lstrip().startswith("["):
        assert shown == []
