"""Answers that lack something, or never end: the turn goes on or stops, and a notice says so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.models.base import MAX_STEP_TOKENS
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.turns.model_step import (
    NO_ANSWER,
    NOT_CALLED,
    ONLY_REASONED,
    TOO_LONG,
)
from agent_kernel.runtime.turns.settings import TurnSettings
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from tests.runtime.played import SHELL, Turn, Upstream, items, runtime_on, turns_of
from tests.runtime.turns.playing import Called, Player

pytestmark = pytest.mark.bubblewrap

WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}
NAMED = {"type": "function", "name": "weather"}
CAP = 100
WRITTEN = {"weather": "incomplete", "invented": "failed"}
"""The status of a call that was stopped: the client's function is kept, an invented one is rejected."""


@pytest.fixture
async def turn(
    upstream: Upstream, bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> AsyncIterator[Turn]:
    settings = TurnSettings(max_step_tokens=CAP)
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path, turn_settings=settings) as runtime:
        yield turns_of(runtime)


@pytest.fixture(params=["chat", "responses"])
def player(request: pytest.FixtureRequest, upstream: Upstream) -> Player:
    return Player(upstream, request.param)


def notices(response: Any) -> list[str]:
    ours: dict[str, Any] = to_json(response).get("agent_kernel") or {}
    return list(ours.get("notices", []))


async def test_reasoning_alone_is_asked_once_more(player: Player, turn: Turn) -> None:
    player.reasons("Hm.")
    player.speaks("Right.")
    response = await turn("Go.", model=player.model)
    assert (response.status, response.output_text) == ("completed", "Right.")
    assert notices(response) == [ONLY_REASONED]
    assert len(player.upstream.requests) == 2
    assert _asked(player, 1) == _asked(player, 0)


async def test_reasoning_alone_ends_after_the_second_time(player: Player, turn: Turn) -> None:
    player.calls(Called("shell", '{"commands": ["echo ran >> file"]}'))
    player.reasons("Hm.")
    player.reasons("Hm, hm.")
    response = await turn("Go.", model=player.model, tools=[SHELL])
    assert response.status == "completed"
    assert len(player.upstream.requests) == 3
    assert notices(response) == [ONLY_REASONED]

    player.calls(Called("shell", '{"commands": ["cat file"]}', "look"))
    player.speaks("Once.")
    later = await turn("And?", model=player.model, tools=[SHELL], previous_response_id=response.id)
    printed = [item for item in items(later) if item["type"] == "shell_call_output"]
    assert printed[0]["output"][0]["stdout"] == "ran\n"
    assert notices(later) == []


async def test_reasoning_and_white_space_is_asked_once_more(upstream: Upstream, turn: Turn) -> None:
    upstream.says({"reasoning_content": "Hm."}, {"content": "\n\n"})
    upstream.says({"content": "Right."})
    response = await turn("Go.")
    assert response.output_text.strip() == "Right."
    assert notices(response) == [ONLY_REASONED]


@pytest.mark.parametrize("text", ["", "\n\n"])
async def test_empty_answer_is_named(player: Player, turn: Turn, text: str) -> None:
    player.speaks(text)
    response = await turn("Go.", model=player.model)
    assert response.status == "completed"
    assert notices(response) == [NO_ANSWER]


async def test_silence_after_a_command_is_an_answer(player: Player, turn: Turn) -> None:
    player.calls(Called("shell", '{"commands": ["true"]}'))
    player.speaks("")
    assert notices(await turn("Go.", model=player.model, tools=[SHELL])) == []


def _asked(player: Player, number: int) -> Any:
    request = player.upstream.requests[number]
    return request.get("messages") or request["input"]


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ("required", True),
        (NAMED, True),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "weather"}]},
            True,
        ),
        ("auto", False),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "weather"}]},
            False,
        ),
    ],
)
async def test_required_call_that_is_not_made(player: Player, turn: Turn, choice: Any, told: bool) -> None:
    player.speaks("I just talk.")
    response = await turn("Go.", model=player.model, tools=[WEATHER], tool_choice=choice)
    assert response.status == "completed"
    assert notices(response) == ([NOT_CALLED] if told else [])


async def test_required_call_that_is_made_needs_no_notice(player: Player, turn: Turn) -> None:
    player.calls(Called("weather", "{}"))
    assert notices(await turn("Go.", model=player.model, tools=[WEATHER], tool_choice="required")) == []


async def test_endless_answer_is_stopped(upstream: Upstream, turn: Turn) -> None:
    upstream.says(*({"content": "and so on "} for _ in range(200)), whole=False)
    response = await turn("Go.")
    assert response.status == "incomplete"
    assert to_json(response)["incomplete_details"] == {"reason": MAX_STEP_TOKENS}
    assert 4 * CAP < len(response.output_text) < 5 * CAP
    assert notices(response) == [TOO_LONG.format(CAP)]
    upstream.says({"content": "Fine."})
    assert (await turn("Stop.", previous_response_id=response.id)).output_text == "Fine."


async def test_endless_call_is_stopped_and_never_runs(upstream: Upstream, turn: Turn) -> None:
    player = Player(upstream, "chat in pieces")
    player.calls(Called("shell", '{"commands": ["touch file; echo ' + "x" * 1000 + '"]}'))
    response = await turn("Go.", tools=[SHELL])
    assert to_json(response)["incomplete_details"] == {"reason": MAX_STEP_TOKENS}
    player.calls(Called("shell", '{"commands": ["ls"]}', "look"))
    player.speaks("Empty.")
    later = await turn("Look.", tools=[SHELL], previous_response_id=response.id)
    assert [item["output"][0]["stdout"] for item in items(later) if "output" in item] == [""]


@pytest.mark.parametrize("shape", ["chat in pieces", "responses in pieces"])
@pytest.mark.parametrize("name", ["weather", "invented"])
async def test_endless_second_call_is_stopped(upstream: Upstream, turn: Turn, shape: str, name: str) -> None:
    player = Player(upstream, shape)
    endless = Called(name, '{"city": "' + "x" * 6000 + '"}', "second")
    player.calls(Called("weather", "{}", "first"), endless)
    response = await turn("Go.", model=player.model, tools=[WEATHER])
    assert to_json(response)["incomplete_details"] == {"reason": MAX_STEP_TOKENS}
    assert notices(response) == [TOO_LONG.format(CAP)]
    first, second = items(response)
    assert (first["status"], second["status"]) == ("completed", WRITTEN[name])
    assert len(second["arguments"]) < 5 * CAP


async def test_own_limit_of_the_request_replaces_the_cap(upstream: Upstream, turn: Turn) -> None:
    upstream.says({"content": "x" * 5 * CAP})
    response = await turn("Go.", max_output_tokens=1000)
    assert response.status == "completed"
    assert notices(response) == []
