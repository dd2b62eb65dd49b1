"""`tool_choice` is obeyed, also by models and servers that ignore it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.protocol.items import to_json
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from tests.runtime.played import SHELL, Turn, Upstream, items, runtime_on, turns_of
from tests.runtime.turns.playing import SHAPES, Called, Player

pytestmark = pytest.mark.bubblewrap

SCHEMA = {"type": "object", "properties": {}}
WEATHER = {"type": "function", "name": "weather", "parameters": SCHEMA}
TIDES = {"type": "function", "name": "tides", "parameters": SCHEMA}
CALL = Called("shell", '{"commands": ["echo ran >> file"]}')


@pytest.fixture
async def turn(
    upstream: Upstream, bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> AsyncIterator[Turn]:
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path) as runtime:
        yield turns_of(runtime)


@pytest.fixture(params=SHAPES)
def player(request: pytest.FixtureRequest, upstream: Upstream) -> Player:
    return Player(upstream, request.param)


def offered(upstream: Upstream) -> list[str]:
    specs = upstream.requests[-1].get("tools") or []
    return [(each.get("function") or each)["name"] for each in specs]


async def test_no_call_runs_where_none_is_allowed(player: Player, turn: Turn) -> None:
    player.calls(CALL, Called("weather", "{}", "w"))
    player.speaks("Only words.")
    response = await turn("Go.", model=player.model, tools=[SHELL, WEATHER], tool_choice="none")
    assert response.output_text == "Only words."
    assert all("no tool may be called" in result for result in player.results())
    assert not [item for item in items(response) if item["type"] == "shell_call_output" and _ran(item)]
    assert player.upstream.requests[-1]["tool_choice"] == "none"

    player.calls(Called("shell", '{"commands": ["ls"]}', "look"))
    player.speaks("Empty.")
    later = await turn("Look.", model=player.model, tools=[SHELL], previous_response_id=response.id)
    assert _ran(next(item for item in items(later) if item["type"] == "shell_call_output")) == [""]


def _ran(item: dict[str, Any]) -> list[str]:
    return [each["stdout"] for each in item["output"] if each["outcome"] == {"type": "exit", "exit_code": 0}]


@pytest.mark.parametrize("names", [["weather"], ["weather", "tides"]])
async def test_only_allowed_tools_are_offered(player: Player, turn: Turn, names: list[str]) -> None:
    allowed = [{"type": "function", "name": name} for name in names]
    choice = {"type": "allowed_tools", "mode": "required", "tools": allowed}
    player.calls(CALL)
    player.speaks("Not the shell, then.")
    response = await turn("Go.", model=player.model, tools=[SHELL, WEATHER, TIDES], tool_choice=choice)
    assert response.status == "completed"
    assert f"no such tool. The tools are: {', '.join(names)}." in player.results()[-1]
    assert player.upstream.requests[0]["tool_choice"] == "required"
    assert player.upstream.requests[1]["tool_choice"] == "auto"
    assert offered(player.upstream) == names


async def test_an_allowed_shell_runs(player: Player, turn: Turn) -> None:
    choice = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "shell"}]}
    player.calls(CALL, Called("weather", "{}", "w"))
    player.speaks("Done.")
    response = await turn("Go.", model=player.model, tools=[SHELL, WEATHER], tool_choice=choice)
    assert response.status == "completed"
    assert offered(player.upstream) == ["shell"]
    assert sum("exit_code" in result for result in player.results()) == 1


CODEX = {"x-codex-turn-metadata": "{}"}


async def test_tools_left_out_are_named_in_a_notice(player: Player, turn: Turn) -> None:
    player.speaks("Hello.")
    response = await turn("Go.", model=player.model, tools=[{"type": "web_search"}], client_metadata=CODEX)
    assert to_json(response)["agent_kernel"]["notices"] == [
        "Not available here, so not offered to the model: web_search."
    ]
