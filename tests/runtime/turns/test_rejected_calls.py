"""Calls that cannot be carried out: the model reads why, and every chain can be continued."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.runtime.turns.loop import REJECTED_CALLS
from agent_kernel.runtime.turns.settings import TurnSettings
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from tests.runtime.played import SHELL, Turn, Upstream, items, runtime_on, turns_of
from tests.runtime.turns.playing import SHAPES, Called, Player

pytestmark = pytest.mark.bubblewrap

WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}


@pytest.fixture
async def turn(
    upstream: Upstream, bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> AsyncIterator[Turn]:
    settings = TurnSettings(max_rejected=3)
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path, turn_settings=settings) as runtime:
        yield turns_of(runtime)


@pytest.fixture(params=SHAPES)
def player(request: pytest.FixtureRequest, upstream: Upstream) -> Player:
    return Player(upstream, request.param)


@pytest.mark.parametrize(
    ("called", "tools", "words"),
    [
        (Called("bash", '{"command": "ls"}'), [WEATHER], "no such tool. The tools are: weather"),
        (Called("shell", '{"commands": ["ls"]}'), [], "there are no tools in this turn"),
        (Called("shell", '{"commands": ["ls"]}'), [WEATHER], "The tools are: weather"),
        (Called("weather", "{}"), [], "there are no tools in this turn"),
        (Called("we.ird name" * 20, "no JSON"), [WEATHER], "no such tool. The tools are: weather"),
        (Called("weather", '{"city": '), [WEATHER], "its arguments are not"),
    ],
)
async def test_unknown_call_goes_back_to_the_model(
    player: Player, turn: Turn, called: Called, tools: list[Any], words: str
) -> None:
    player.calls(called)
    player.speaks("Without it, then.")
    response = await turn("Go.", model=player.model, tools=tools)
    assert (response.status, response.output_text) == ("completed", "Without it, then.")
    assert words in player.results()[-1]
    (rejected,) = [item for item in items(response) if item["type"] == "mcp_call"]
    assert (rejected["status"], rejected["server_label"]) == ("failed", "agent_kernel")
    assert not [item for item in items(response) if item.get("status") == "completed" and "call_id" in item]

    player.speaks("Still here.")
    later = await turn("And?", model=player.model, tools=tools, previous_response_id=response.id)
    assert later.output_text == "Still here."
    assert words in player.results()[-1]


async def test_rejected_calls_end_the_turn_at_their_limit(player: Player, turn: Turn) -> None:
    for number in range(3):
        player.calls(Called("bash", "{}", f"call_{number}"))
    response = await turn("Go.", model=player.model)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == REJECTED_CALLS
    player.speaks("On.")
    later = await turn("Go on.", model=player.model, previous_response_id=response.id)
    assert later.output_text == "On."


async def test_good_calls_run_beside_rejected_ones(player: Player, turn: Turn) -> None:
    player.calls(
        Called("shell", '{"commands": ["echo one >> file"]}', "a"),
        Called("bash", "{}", "b"),
        Called("shell", '{"commands": ["echo two >> file"]}', "c"),
    )
    player.calls(Called("shell", '{"commands": ["cat file"]}', "d"))
    player.speaks("Done.")
    response = await turn("Go.", model=player.model, tools=[SHELL])
    outputs = [item for item in items(response) if item["type"] == "shell_call_output"]
    assert outputs[-1]["output"][0]["stdout"] == "one\ntwo\n"
    assert any("no such tool. The tools are: shell" in result for result in player.results())


RUN = [
    ('{"command": "echo hi >> FILE"}', 1),
    ('{"commands": "echo hi >> FILE"}', 1),
    ('{"commands": ["echo hi >> FILE"]}</tool_call>', 1),
    ('{"commands": ["echo hi >> FILE"]}\n\nThat should work.', 1),
    ('```json\n{"commands": ["echo hi >> FILE"]}\n```', 1),
    ('"{\\"commands\\": [\\"echo hi >> FILE\\"]}"', 1),
    ('{"commands": ["echo hi >> FILE"]}{"commands": ["echo  hi >> FILE"]}', 2),
    ('{"commands": ["echo hi >> FILE"]}{"commands": ["echo hi >> FILE"]}', 1),
    ('{"commands": "[\\"echo hi >> FILE\\"]"}', 1),
    ('{"commands": ["true\n" , ">> FILE echo hi"]}', 1),
]


async def test_arguments_with_one_meaning_run(player: Player, turn: Turn) -> None:
    texts = [arguments.replace("FILE", f"file{number}") for number, (arguments, _) in enumerate(RUN)]
    objects = [{"commands": ["echo hi >> file_of_an_object"]}]
    called = [Called("shell", text, f"call_{number}") for number, text in enumerate([*texts, *objects])]
    player.calls(*called)
    player.calls(Called("shell", '{"commands": ["grep -c hi file*"]}', "look"))
    player.speaks("Done.")
    response = await turn("Go.", model=player.model, tools=[SHELL])
    assert response.status == "completed"
    assert not [item for item in items(response) if item["type"] == "mcp_call"]
    printed = [item for item in items(response) if item["type"] == "shell_call_output"][-1]["output"]
    counts = [f"file{number}:{times}\n" for number, (_, times) in enumerate(RUN)]
    assert printed[0]["stdout"] == "".join([*counts, "file_of_an_object:1\n"])


DOUBTFUL = [
    ("", "list of strings called commands"),
    ('{"commands": ["touch file"', "not JSON"),
    ('{"commands": ["touch file"]}{"commands": ["ls"', "not JSON"),
    ('{"commands": ["touch file"], "commands": ["ls"]}', "'commands' twice"),
    ('{"command": ["touch", "file"]}', "list of strings called commands"),
    ('{"command": ["bash", "-lc", "touch file"]}', "list of strings called commands"),
    ('{"commands": ["touch file"], "cwd": "/tmp"}', "no argument cwd"),
    ("touch file", "not JSON"),
    ('["touch file"]', "not an object"),
]


async def test_doubtful_arguments_never_run(player: Player, turn: Turn) -> None:
    player.calls(*(Called("shell", text, f"call_{n}") for n, (text, _) in enumerate(DOUBTFUL)))
    player.calls(Called("shell", '{"commands": ["ls"]}', "look"))
    player.speaks("Done.")
    response = await turn("Go.", model=player.model, tools=[SHELL])
    assert response.status == "completed"
    printed = [item for item in items(response) if item["type"] == "shell_call_output"][-1]["output"]
    assert printed[0]["stdout"] == ""
    stored = [item["action"]["commands"] for item in items(response) if item["type"] == "shell_call"]
    assert not [commands for commands in stored if "bash" in commands or commands == ["touch", "file"]]
    results = player.results()
    for _, words in DOUBTFUL:
        assert [each for each in results if words in each and "commands (array, required)" in each], words


async def test_a_call_sent_twice_runs_once(player: Player, turn: Turn) -> None:
    once = Called("shell", '{"commands": ["echo once >> file"]}', "same")
    player.calls(once, once)
    player.calls(Called("shell", '{"commands": ["cat file"]}', "look"))
    player.speaks("Done.")
    response = await turn("Go.", model=player.model, tools=[SHELL])
    printed = [item for item in items(response) if item["type"] == "shell_call_output"][-1]["output"]
    assert printed[0]["stdout"] == "once\n"


async def test_native_call_without_offered_tool(upstream: Upstream, turn: Turn) -> None:
    shell = {"type": "shell_call", "id": "sh", "call_id": "c", "action": {"commands": ["ls"]}}
    other = {"type": "custom_tool_call", "id": "ct", "call_id": "d", "name": "patch", "input": "x"}
    upstream.responds(shell, other)
    player = Player(upstream, "responses")
    player.speaks("Without.")
    response = await turn("Go.", model="responses/m", tools=[WEATHER])
    assert [item["type"] for item in items(response)] == ["mcp_call", "mcp_call", "message"]
    assert all("The tools are: weather" in each for each in player.results())


@pytest.mark.parametrize("player", SHAPES[:3], indirect=True)
async def test_functions_called_in_one_breath_are_separate(player: Player, turn: Turn) -> None:
    player.calls(Called("weather", '{"city": "Oslo"}{"city": "Rome"}'))
    response = await turn("Go.", model=player.model, tools=[WEATHER])
    cities = [json.loads(item["arguments"])["city"] for item in items(response)]
    assert cities == ["Oslo", "Rome"]
