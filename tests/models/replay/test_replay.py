"""The model `replay/FILE`: finds cell and step, says what the cassette has, and explains what it lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent_kernel.cassettes.cassette import Cassette, RecordedCell, SaidCall, SaidRejected, SaidText, digest
from agent_kernel.cassettes.writing import write
from agent_kernel.errors import ConfigurationError, InvalidRequest, MalformedModelOutput, OutOfScript
from agent_kernel.models.catalogue import Models
from agent_kernel.models.replay.model import ReplayModel
from agent_kernel.protocol.calls import CallDone, RejectedCall
from agent_kernel.protocol.deltas import ModelDelta, ReasoningDelta, TextDelta, Truncated
from tests.tools.made import model_request


def shell(*commands: str) -> SaidCall:
    return SaidCall("shell", {"action": {"commands": list(commands)}})


CELLS = (
    RecordedCell(
        "a",
        "How many rows?",
        digest("How many rows?"),
        "",
        (
            (
                SaidText("reasoning", "Count."),
                SaidText("reasoning", "All."),
                shell("wc -l", "ls"),
                shell("pwd"),
            ),
            (SaidRejected("nothing", "{}", "there is no such tool"),),
            (SaidText("message", "Many rows."),),
        ),
        "max_output_tokens",
    ),
    RecordedCell("b", "Again?", digest("Again?"), "", ((SaidText("message", "one"),),)),
    RecordedCell("c", "Again?", digest("Again?"), "", ((SaidText("message", "two"),),)),
    RecordedCell("d", "Clock", digest("Clock"), "", ((SaidCall("sundial", {}),),)),
    RecordedCell("e", "Odd", digest("Odd"), "", ((SaidCall("shell", {"action": {"commands": 3}}),),)),
)
MODEL = ReplayModel(Path("rows.yaml"), Cassette(cells=CELLS))


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "input_text", "text": text}]}


async def said(*items: dict[str, Any], **metadata: str) -> list[ModelDelta]:
    settings = {"client_metadata": {f"agent_kernel.{name}": value for name, value in metadata.items()}}
    request = model_request("replay", items, settings=settings if metadata else {})
    return [delta async for delta in MODEL.stream(request)]


def text(deltas: list[ModelDelta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


CALL = {"type": "shell_call", "call_id": "1", "action": {"commands": ["wc -l"]}}
REJECTED = {"type": "mcp_call", "server_label": "agent_kernel", "name": "nothing"}


async def test_steps_follow_the_calls_made() -> None:
    first = await said(user("How  many rows?"))
    assert [(each.text, each.part) for each in first if isinstance(each, ReasoningDelta)] == [
        ("Count.", 0),
        ("All.", 1),
    ]
    assert [each.parts for each in first if isinstance(each, CallDone)] == [("wc -l", "ls"), ("pwd",)]
    second = await said(user("How many rows?"), CALL, {**CALL, "call_id": "2"})
    assert [each.name for each in second if isinstance(each, RejectedCall)] == ["nothing"]
    third = await said(user("How many rows?"), CALL, {**CALL, "call_id": "2"}, REJECTED)
    assert text(third) == "Many rows."
    assert third[-1] == Truncated("max_output_tokens")
    assert not any(isinstance(each, Truncated) for each in [*first, *second])


async def test_repeated_prompt_is_the_cell_that_is_told_or_the_next() -> None:
    assert text(await said(user("Again?"))) == "one"
    assert text(await said(user("Again?"), user("Again?"))) == "two"
    assert text(await said(user("Again?"), cell="c", prompt=digest("Again?"))) == "two"
    assert text(await said(user("Again? And these rows: 1, 2"), cell="b", prompt=digest("Again?"))) == "one"


@pytest.mark.parametrize(
    ("prompt", "cell", "says"),
    [
        ("How many columns?", "a", "cell a “How many columns?”. It was recorded with another prompt"),
        ("How many rows", "", "The nearest that it has is a “How many rows?”"),
        ("Translate.", "", "It has 5 cells with other prompts"),
    ],
)
async def test_prompt_that_is_not_there_names_the_cell(prompt: str, cell: str, says: str) -> None:
    with pytest.raises(OutOfScript, match=r"The cassette rows\.yaml has no answer") as caught:
        await said(user(prompt), cell=cell, prompt=digest(prompt))
    assert says in caught.value.message
    assert "agent-kernel record --update" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("prompt", "says"), [("Clock", "'sundial', which is not installed"), ("Odd", "shell")]
)
async def test_call_that_cannot_be_made_is_explained(prompt: str, says: str) -> None:
    with pytest.raises(MalformedModelOutput, match=says):
        await said(user(prompt))


def models(default: str | None = None, *, files: bool = True) -> Models:
    return Models(upstream_url=None, upstream_key=None, default=default, script_files=files)


def test_name_leads_to_the_file_in_its_present_version(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    write(path, Cassette(cells=CELLS))
    found = models()
    model, _ = found.resolve(f"replay/{path}")
    assert isinstance(model, ReplayModel)
    assert found.resolve(f"replay/{path}")[0] is model
    write(path, Cassette(cells=CELLS[:1]))
    assert found.resolve(f"replay/{path}")[0] is not model
    with pytest.raises(ConfigurationError, match="There is no cassette"):
        found.resolve(f"replay/{tmp_path / 'none.yaml'}")
    with pytest.raises(InvalidRequest, match="names no cassette"):
        found.resolve("replay/demo")


def test_server_plays_only_its_own_cassette(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    write(path, Cassette(cells=CELLS))
    with pytest.raises(InvalidRequest, match="plays only its own models"):
        models(files=False).resolve(f"replay/{path}")
    own = models(f"replay/{path}", files=False)
    assert isinstance(own.resolve(None)[0], ReplayModel)
