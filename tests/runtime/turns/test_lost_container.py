"""A turn whose container was deleted: the model reads that, never between a call and its output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent_kernel.runtime.turns.preparation import CONTAINER_LOST
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from tests.runtime.played import SHELL, Upstream, items, runtime_on, turns_of
from tests.runtime.turns.playing import Called, Player

pytestmark = pytest.mark.bubblewrap

WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}
TOOLS = [SHELL, WEATHER]


def kinds(request: dict[str, Any]) -> list[str]:
    """Return what the model reads, oldest first: calls, outputs, and who says what."""
    if "messages" in request:
        return ["call" if each.get("tool_calls") else each["role"] for each in request["messages"]]
    named = {"function_call": "call", "function_call_output": "tool"}
    return [named.get(each["type"]) or each["role"] for each in request["input"]]


@pytest.mark.parametrize("dialect", ["chat", "responses"])
@pytest.mark.parametrize("count", [1, 2])
async def test_outputs_come_before_the_loss(
    upstream: Upstream, bubblewrap_backend: BubblewrapBackend, tmp_path: Path, dialect: str, count: int
) -> None:
    player = Player(upstream, dialect)
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path) as runtime:
        turn = turns_of(runtime)
        calls = [Called("weather", f'{{"city": {number}}}', f"w{number}") for number in range(count)]
        player.calls(Called("shell", '{"commands": ["true"]}', "s"), *calls)
        first = await turn("Go.", model=player.model, tools=TOOLS)
        (call,) = [item for item in items(first) if item["type"] == "shell_call"]
        await runtime.containers.delete(call["environment"]["container_id"])

        player.speaks("I see.")
        outputs: list[Any] = [
            {"type": "function_call_output", "call_id": each.call_id, "output": "sun"} for each in calls
        ]
        asked = [*outputs, {"role": "user", "content": "And now?"}]
        again = await turn(asked, model=player.model, tools=TOOLS, previous_response_id=first.id)
    assert again.output_text == "I see."
    read = kinds(upstream.requests[-1])
    assert read[-3 - count :] == [*["tool"] * (count + 1), read[-2], "user"]
    assert read[-2] in ("system", "developer")
    assert CONTAINER_LOST in str(upstream.requests[-1])
