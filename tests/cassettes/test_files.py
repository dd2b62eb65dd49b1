"""Cassettes as files: what is written is read again, reads well, and what is hostile is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_kernel.cassettes.cassette import (
    Cassette,
    PrintedOutput,
    RecordedCell,
    SaidCall,
    SaidRejected,
    SaidText,
    Surroundings,
)
from agent_kernel.cassettes.reading import MAX_BYTES, CassetteInvalid, parse, read
from agent_kernel.cassettes.writing import to_yaml, write
from agent_kernel.errors import ConfigurationError

CODE = SaidCall(
    "code_interpreter", {"code": "x = 1\nprint(x)"}, (PrintedOutput("1\n2", "", "ValueError: no"),)
)
SHELL = SaidCall(
    "shell",
    {"action": {"commands": ["ls", "wc -l a\nwc -l b"], "timeout_ms": 500}},
    (PrintedOutput("a"), PrintedOutput("", "wc: b", "exit 1")),
)
STEPS = (
    (SaidText("reasoning", "First."), SHELL, CODE),
    (SaidCall("clock", {"zone": "UTC"}), SaidRejected("nothing", "{", "there is no such tool")),
    (SaidText("message", "## Two lines  \n\tand a tab", "final_answer"), SaidText("refusal", "no")),
)
CASSETTE = Cassette(
    "sales.ipynb",
    "openai/gpt-5",
    Surroundings("docker", "sha256:00", {"pandas": "2.2.3"}),
    (RecordedCell("cell-1", "How many?", "aa", "bb", STEPS, "max_output_tokens"),),
)


def test_file_has_blocks_in_stable_order(tmp_path: Path) -> None:
    path = tmp_path / "new" / "sales.yaml"
    write(path, CASSETTE)
    text = path.read_text()
    assert read(path) == CASSETTE
    assert to_yaml(read(path)) == text
    lines = text.splitlines()
    assert "        - python: |-" in lines
    assert "            print(x)" in lines
    assert "      - - message: |-" in lines
    assert [path.name for path in path.parent.iterdir()] == ["sales.yaml"], "a temporary file is left"


@given(st.text(st.one_of(st.sampled_from(" \n\t:-#|>'\"%&*!\\"), st.characters(exclude_categories=["Cs"]))))
@settings(max_examples=150)
def test_any_text_survives(text: str) -> None:
    call = SaidCall("shell", {"action": {"commands": [text]}}, (PrintedOutput(text, text),))
    cell = RecordedCell("c", text, "p", "", ((SaidText("message", text), call),))
    assert parse(to_yaml(Cassette(model=text, cells=(cell,))).encode()).cells == (cell,)


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
TOP = "agent_kernel_cassette: 1\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BOMB, "line 1 has an anchor or an alias"),
        ("!!python/object/apply:os.system [id]", "line 1 has a tag"),
        ("agent_kernel_cassette: !!int 1", "line 1 has a tag"),
        ("[" * 200_000, "nested more than 12 levels"),
        (TOP + "cells:\n" + "- {prompt: a}\n" * 40_000, "more than 100,000 values"),
        ("x" * (MAX_BYTES + 1), "larger than 8 MiB"),
        (b"\xff\xfe", "not UTF-8"),
        ("a: [", "not valid YAML in line"),
        ("- 1", "the file must be a mapping"),
        ("agent_kernel_cassette: 2", "a newer version"),
        ("agent_kernel_cassette: x", "its version is unknown"),
        (TOP + "cells: 3", "cells must be a list"),
        (TOP + "cells: [{prompt: [a]}]", "cell 1: 'prompt' must be a string"),
        (TOP + "cells: [{prompt: a, secret: b}]", "cell 1: 'secret' is unknown"),
        (TOP + "cells: [{prompt: a, ended: never}]", "ended must be one of"),
        (TOP + "cells: [{prompt: a, steps: [[{}]]}]", "cell 1, step 1: an entry must have exactly one of"),
        (TOP + "cells: [{prompt: a, steps: [[{shell: []}]]}]", "shell must be a command or a list"),
        (TOP + "cells: [{prompt: a, steps: [[{shell: a, timeout_ms: -1}]]}]", "timeout_ms must be a whole"),
        (TOP + "cells: [{prompt: a, steps: [[{shell: a, printed: [a, b]}]]}]", "one entry for each command"),
        (TOP + "cells: [{prompt: a, steps: [[{tool: a, fields: '[['}]]}]", "fields must be JSON"),
    ],
)
def test_hostile_file_is_refused(text: str | bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CassetteInvalid) as caught:
        read(path)
    assert says in caught.value.message
    assert str(path) in caught.value.message
    assert "--update" in (caught.value.hint or "")


def test_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(CassetteInvalid, match="There is no cassette") as caught:
        read(tmp_path / "none.yaml")
    assert caught.value.hint == "To make it: agent-kernel record NOTEBOOK"


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write(tmp_path / "file" / "a.yaml", CASSETTE)


def test_cell_replaces_its_entry_in_the_notebooks_order() -> None:
    first, second = RecordedCell("a", "", "1", "", ()), RecordedCell("b", "", "2", "", ())
    cassette = Cassette().with_cell(second).with_cell(first, ["a", "b"])
    assert cassette.cells == (first, second)
    edited = RecordedCell("a", "", "3", "", ())
    assert cassette.with_cell(edited, ["a", "b"]).cells == (edited, second)


def test_prompt_that_comes_twice_is_found_by_id_or_order() -> None:
    one, two = RecordedCell("a", "", "1", "", ()), RecordedCell("b", "", "1", "", ())
    cassette = Cassette(cells=(one, two))
    assert cassette.find("b", "1") is two
    assert [cassette.find("", "1", again) for again in (0, 1, 5)] == [one, two, two]
    assert cassette.find("a", "2") is None
