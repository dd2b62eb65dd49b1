"""Whatever a model does, its chain can be continued, and no command runs twice."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, SupportsIndex

import pytest

from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from tests.runtime.played import SHELL, Turn, Upstream, items, runtime_on, turns_of
from tests.runtime.turns.playing import SHAPES, Called, Player

pytestmark = pytest.mark.bubblewrap

WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}
TOOLS: list[list[Any]] = [[SHELL], [SHELL], [SHELL, WEATHER], [SHELL, WEATHER], [WEATHER], []]
CHOICES: list[Any] = [
    None,
    None,
    "none",
    {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "shell"}]},
]
ENDED = ("completed", "incomplete", "failed")


@pytest.fixture
async def turn(
    upstream: Upstream, bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> AsyncIterator[Turn]:
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path) as runtime:
        yield turns_of(runtime)


class Prepared(list[bytes]):
    """The prepared answers, and one for every request after them."""

    def __init__(self, last: bytes) -> None:
        super().__init__()
        self._last = last

    def pop(self, index: SupportsIndex = -1) -> bytes:
        return super().pop(index) if self else self._last


class Behaviour:
    """A model that does anything. Each of its commands writes a line of its own."""

    def __init__(self, player: Player, seed: int) -> None:
        self.player = player
        self.random = random.Random(seed)
        self.lines = 0
        player.speaks("Done.")
        player.upstream.prepared = Prepared(player.upstream.prepared.pop())

    def step(self) -> None:
        """Prepare the next answer."""
        act = self.random.choice(["calls", "calls", "calls", "reasons", "empty", "cut", "talks"])
        if act == "reasons":
            self.player.reasons("Hm.")
        elif act in ("empty", "talks"):
            self.player.speaks("Well." if act == "talks" else "")
        else:
            calls = [self._call() for _ in range(self.random.randint(1, 3))]
            if self.random.random() < 0.2:
                calls.append(calls[0])  # sent twice
            self.player.calls(*calls, text=self.random.choice(["", "So: "]))
            if act == "cut":
                answer = self.player.upstream.prepared[-1]
                self.player.upstream.prepared[-1] = answer[: self.random.randrange(len(answer))]

    def _call(self) -> Called:
        name = self.random.choice([*["shell"] * 8, "bash", "weather", "", "we ird.näme"])
        call_id = self.random.choice(["same", "0", None, f"call_{self.random.random()}"])
        return Called(name, self._arguments(), call_id)

    def _arguments(self) -> Any:
        whole = self._object()
        return self.random.choice(
            [
                *[whole] * 8,
                whole + self._object(),
                whole[: self.random.randrange(len(whole))],
                whole + self.random.choice(["</tool_call>", " that's it", "{", "]"]),
                json.dumps(whole),
                json.loads(whole),
                "",
                "null",
                '{"city": "Oslo"}',
                f"```json\n{whole}\n```",
            ]
        )

    def _object(self) -> str:
        commands = []
        for _ in range(self.random.randint(1, 2)):
            self.lines += 1
            commands.append(f"echo {self.lines} >> /mnt/data/log; {self.random.choice(['true', 'false'])}")
        name = self.random.choice(["commands", "commands", "commands", "command", "cmd"])
        return json.dumps({name: commands if self.random.random() < 0.7 else commands[0]})


def answers(response: Any) -> list[dict[str, Any]]:
    """The outputs of the client's functions, which the next turn needs."""
    calls = [item for item in items(response) if item["type"] == "function_call"]
    return [
        {"type": "function_call_output", "call_id": call["call_id"], "output": "rain"}
        for call in calls
        if call["status"] == "completed"
    ]


async def check(player: Player, turn: Turn, seed: int, turns: int) -> int:
    """Play a chain, and return how many commands ran."""
    model, last, sent = Behaviour(player, seed), None, list[dict[str, Any]]()
    for number in range(turns):
        for _ in range(model.random.randint(1, 4)):
            model.step()
        tools, choice = model.random.choice(TOOLS), model.random.choice(CHOICES)
        if choice is not None and SHELL not in tools:
            choice = None
        said = [*sent, {"role": "user", "content": f"Turn {number}."}]
        request = {"tools": tools, "previous_response_id": last, "tool_choice": choice}
        response = await turn(said, model=player.model, **request)
        assert response.status in ENDED
        last, sent = response.id, answers(response)
        player.upstream.prepared.clear()
    log = Called("shell", '{"commands": ["cat /mnt/data/log 2>/dev/null"]}', "the log")
    player.calls(log)
    response = await turn(
        [*sent, {"role": "user", "content": "Show it."}],
        model=player.model,
        tools=[SHELL],
        previous_response_id=last,
    )
    assert response.status == "completed"
    (shown,) = [item for item in items(response) if item["type"] == "shell_call_output"]
    lines = shown["output"][0]["stdout"].split()
    assert len(lines) == len(set(lines)), f"run twice: {lines}"
    return len(lines)


@pytest.mark.parametrize("shape", SHAPES)
async def test_chain_goes_on_whatever_the_model_does(upstream: Upstream, turn: Turn, shape: str) -> None:
    assert await check(Player(upstream, shape), turn, seed=7, turns=8) > 3


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(25))
async def test_many_chains_go_on_whatever_the_model_does(
    upstream: Upstream, turn: Turn, shape: str, seed: int
) -> None:
    await check(Player(upstream, shape), turn, seed, turns=12)
