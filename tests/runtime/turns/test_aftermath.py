"""After a failed command the model reads where the shell is, what changed and what still runs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_kernel.sandboxes.base import Backend
from tests.conftest import without_gvisor
from tests.runtime.played import SHELL, Turn, Upstream, items, runtime_on, turns_of
from tests.runtime.turns.playing import Called, Player

pytestmark = without_gvisor

BEGUN = "until grep -q sleep /proc/$!/cmdline; do :; done"


@pytest.fixture
async def turn(upstream: Upstream, backend: Backend, tmp_path: Path) -> AsyncIterator[Turn]:
    async with runtime_on(upstream.url, backend, tmp_path) as runtime:
        yield turns_of(runtime)


@pytest.fixture(params=["chat", "responses"])
def player(request: pytest.FixtureRequest, upstream: Upstream) -> Player:
    return Player(upstream, request.param)


async def test_failed_commands_are_explained_to_the_model(player: Player, turn: Turn) -> None:
    player.calls(
        Called("shell", '{"commands": ["touch -d yesterday old", "true"]}', "before"),
        Called(
            "shell",
            '{"commands": ["mkdir d; cd d; echo a > new; sleep 300 & ' + BEGUN + '; false", "true"]}',
            "fails",
        ),
        Called("shell", '{"commands": ["sleep 100"], "timeout_ms": 200}', "hangs"),
    )
    player.speaks("I see.")
    response = await turn("Go.", model=player.model, tools=[SHELL])
    before, fails, hangs = player.results()
    assert "working directory" not in before
    assert fails.count("working directory: /mnt/data/d;") == 1
    assert "files changed: /mnt/data/d/new;" in fails
    assert "sleep 300" in fails
    assert "/mnt/data/old" not in fails
    assert "working directory: /mnt/data/d;" in hangs
    assert "sleep 300" in hangs
    assert "sleep 100" not in hangs
    assert "working directory" not in str(items(response))

    player.speaks("Later.")
    await turn("And?", model=player.model, previous_response_id=response.id, tools=[SHELL])
    assert not any("working directory" in result for result in player.results())


async def test_names_from_the_sandbox_are_bounded(player: Player, turn: Turn) -> None:
    command = r"for n in $(seq 30); do touch $'line\nbreak'$n; done; false"
    player.calls(Called("shell", f'{{"commands": [{_quoted(command)}]}}'))
    player.speaks("Many.")
    await turn("Go.", model=player.model, tools=[SHELL])
    (result,) = player.results()
    assert "line?break" in result
    assert "and 10 more" in result


def _quoted(text: str) -> str:
    return json.dumps(text)
