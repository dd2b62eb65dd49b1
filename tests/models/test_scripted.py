"""The scripted model, its files, and those that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import ConfigurationError, MalformedModelOutput, OutOfScript
from agent_kernel.models.script import Say, ScriptedTurn, load, load_packaged
from agent_kernel.models.scripted import ScriptedModel
from agent_kernel.protocol.calls import CallDelta, CallDone
from agent_kernel.protocol.deltas import ModelDelta, ReasoningDelta, TextDelta
from tests.tools.made import is_shell_delta, model_request

SCRIPT = r"""
name: tests
turns:
  - when: Look at the file
    do:
      - think: The header first.
      - think: Then the rest.
      - say: I look.
      - shell: [head -1 x.csv, "  wc -l <x.csv"]
      - shell: {commands: [sleep 9], timeout_ms: 50, max_output_length: 7}
      - say: "**{rows}** rows, {all}; {{rows}} and {a b} and {} stay."
        quote: {rows: '^rows: (\d+)', all: 'rows'}
  - when: look
    do: [{say: 'Where?'}]
  - when: {regex: 'wait (a|one)\b'}
    do: [{shell: sleep 1}]
  - when: weather
    do:
      - shell: ls
        call: [{name: weather, arguments: {city: Oslo}}, {name: news}]
      - call: {name: weather, arguments: {city: Rome}}
      - say: "{weather}"
        quote: {weather: 'sun|rain'}
---
turns:
  - when: second document
    do: [{say: Yes.}]
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "tests.yaml"
    path.write_text(text)
    return path


@pytest.fixture
def model(tmp_path: Path) -> ScriptedModel:
    return ScriptedModel(load(write(tmp_path, SCRIPT)))


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "input_text", "text": text}]}


def ran(*outputs: str, number: int = 1) -> list[dict[str, Any]]:
    contents = [{"stdout": out, "stderr": "rows: 999", "outcome": {"type": "exit"}} for out in outputs]
    call_id = f"c{number}"
    return [
        {"type": "shell_call", "call_id": call_id, "action": {"commands": [""] * len(outputs)}},
        {"type": "shell_call_output", "call_id": call_id, "output": contents},
    ]


async def said(model: ScriptedModel, *items: dict[str, Any]) -> list[ModelDelta]:
    return [delta async for delta in model.stream(model_request("m", items))]


def text(deltas: list[ModelDelta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


async def test_a_step_goes_up_to_its_shell_in_words(model: ScriptedModel) -> None:
    deltas = await said(model, user("Please LOOK  at\nthe file!"))
    thoughts = [delta for delta in deltas if isinstance(delta, ReasoningDelta)]
    assert [(t.text, t.part) for t in thoughts[:3]] == [("The ", 0), ("header ", 0), ("first.", 0)]
    assert {t.part for t in thoughts} == {0, 1}
    assert text(deltas) == "I look."
    pieces = [(d.part, d.text) for d in deltas if isinstance(d, CallDelta)]
    assert "".join(piece for index, piece in pieces if index == 1) == "  wc -l <x.csv"
    assert len(pieces) > 4
    last = deltas[-1]
    assert isinstance(last, CallDone)
    assert last.parts == ("head -1 x.csv", "  wc -l <x.csv")


async def test_the_step_is_counted_from_the_calls_since_the_message(model: ScriptedModel) -> None:
    before = [user("look"), *ran("rows: 1"), *ran("rows: 2", number=2)]
    (*_, call) = await said(model, *before, user("look at the file"), *ran("rows: 3", number=3))
    assert isinstance(call, CallDone)
    assert call.options == {"timeout_ms": 50, "max_output_length": 7}


async def test_a_message_quotes_the_last_match_of_this_turn(model: ScriptedModel) -> None:
    turn = [user("look"), *ran("rows: 77"), user("look at the file")]
    turn += [*ran("rows: 3", "rows: 4"), *ran("no rows", number=2)]
    assert text(await said(model, *turn)) == "**4** rows, rows; {rows} and {a b} and {} stay."


async def test_a_quote_without_a_match_is_an_error_before_any_word(model: ScriptedModel) -> None:
    stream = model.stream(model_request("m", [user("look at the file"), *ran("x"), *ran("", number=2)]))
    with pytest.raises(MalformedModelOutput, match="“rows”"):
        await anext(stream)


async def test_an_exact_match_goes_before_a_contained_one(model: ScriptedModel) -> None:
    assert text(await said(model, user(" LOOK "))) == "Where?"
    assert text(await said(model, user("second document"))) == "Yes."
    assert isinstance((await said(model, user("Wait one moment")))[-1], CallDone)


async def test_a_mentioned_file_is_matched_by_its_name(model: ScriptedModel) -> None:
    assert text(await said(model, user("Look at the @file"))) == "I look."


async def test_a_turn_that_ends_with_a_command_says_nothing_more(model: ScriptedModel) -> None:
    assert await said(model, user("wait a moment"), *ran("")) == []


def answered(call_id: str, output: Any) -> list[dict[str, Any]]:
    return [
        {"type": "function_call", "call_id": call_id, "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": call_id, "output": output},
    ]


async def test_functions_are_called_and_their_results_quoted(model: ScriptedModel) -> None:
    items = [user("weather")]
    deltas = await said(model, *items)
    assert any(isinstance(delta, CallDone) for delta in deltas)
    calls = [delta for delta in deltas if isinstance(delta, CallDelta) and not is_shell_delta(delta)]
    assert "".join(call.text for call in calls if call.name == "weather") == '{"city": "Oslo"}'
    assert "".join(call.text for call in calls if call.name == "news") == "{}"
    assert len({call.call_id for call in calls}) == 2
    items += [*ran("x"), *answered("c2", "rain"), *answered("c3", "none")]
    again = await said(model, *items)
    assert "".join(d.text for d in again if isinstance(d, CallDelta)) == '{"city": "Rome"}'
    items += answered("c4", [{"type": "input_text", "text": "sun"}])
    assert text(await said(model, *items)) == "sun"


async def test_outside_the_script_it_says_what_it_knows(model: ScriptedModel) -> None:
    with pytest.raises(OutOfScript) as caught:
        await said(model, user("What is the meaning of <b>life</b>? " * 9))
    message = str(caught.value)
    assert "“Look at the file”" in message
    assert "AGENT_KERNEL_MODEL" in message
    assert len(message) < 500


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("turns: [", "is not valid YAML in line"),
        ("- a", "no list called turns"),
        ("turns: [{when: a}]", "turn 1: a turn must have exactly"),
        ("turns: [{when: a, do: [{say: x}]}, {when: 3, do: []}]", "turn 2: when must be a string"),
        ("turns: [{when: a, do: []}]", "do must be a list"),
        ("turns: [{when: a, do: [{sing: x}]}]", "an entry of do must be"),
        ("turns: [{when: a, do: [{shell: []}]}]", "shell must be a command"),
        ("turns: [{when: a, do: [{shell: {commands: [a], timeout: 1}}]}]", "the fields of shell are"),
        ("turns: [{when: a, do: [{shell: {commands: [a], timeout_ms: -1}}]}]", "whole numbers"),
        ("turns: [{when: a, do: [{call: x}]}]", "a call must have a name"),
        ("turns: [{when: a, do: [{call: {name: x, arguments: '{'}}]}]", "a call must have a name"),
        ("turns: [{when: a, do: [{}]}]", "an entry of do must be"),
        ("turns: [{when: a, do: [{say: 'x {y}'}]}]", "{y}, but quote has no entry"),
        ("turns: [{when: a, do: [{say: x, quote: {y: '('}}]}]", "turn 1:"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(write(tmp_path, text))
    assert why in caught.value.message
    assert str(tmp_path) in caught.value.message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        load(tmp_path / "none.yaml")


def all_turns() -> list[ScriptedTurn]:
    return list(load_packaged().turns)


@pytest.mark.parametrize("turn", all_turns(), ids=lambda turn: turn.when[:40])
def test_the_packaged_turns_can_be_told_apart_and_end_with_a_message(turn: ScriptedTurn) -> None:
    assert [other.when for other in all_turns() if other.matches(turn.when)] == [turn.when]
    assert isinstance(turn.steps[-1][-1], Say)
