"""The field `truncation`: whether a conversation may be shortened to fit the model's context window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import ContextLengthExceeded
from agent_kernel.models.base import Item, ModelRequest
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.turns.context.estimate import ItemSizes
from agent_kernel.runtime.turns.context.fitting import FitNotice, Fitting
from agent_kernel.runtime.turns.context.gauge import Gauge
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from tests.runtime.played import items, runtime_on, turns_of
from tests.runtime.turns.limited import LimitedUpstream, serving

FUNCTION = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
LONG = [
    {"role": "user", "content": "Look."},
    {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1", "output": "word " * 6000},
]


@pytest.mark.bubblewrap
@pytest.mark.parametrize(
    ("model", "says"),
    [("chat/m", "llama"), ("responses/m", "vllm"), ("responses/m", "openai"), ("chat/m", "words")],
)
async def test_disabled_fails_and_auto_goes_on(
    bubblewrap_backend: BubblewrapBackend, tmp_path: Path, model: str, says: str
) -> None:
    async with (
        serving(LimitedUpstream(4096, says=says, compacts=True)) as upstream,
        runtime_on(upstream.url, bubblewrap_backend, tmp_path) as runtime,
    ):
        turn, asked = turns_of(runtime), {"model": model, "tools": [FUNCTION]}
        failed = await turn(LONG, truncation="disabled", **asked)
        assert failed.status == "failed"
        assert to_json(failed)["error"]["code"] == "context_length_exceeded"
        assert items(failed) == []
        assert (len(upstream.refused), upstream.answered, upstream.summaries) == (1, [], [])

        again = await turn("Again.", truncation="disabled", previous_response_id=failed.id, **asked)
        assert again.status == "failed"
        assert upstream.answered == upstream.summaries == []

        upstream.prepared = ["Words."] * 3
        for given in ({"truncation": "auto"}, {"truncation": None}, {}):
            shortened = await turn(LONG, **given, **asked)
            assert (shortened.status, shortened.output_text) == ("completed", "Words.")
            assert "was shortened" in str(to_json(shortened)["agent_kernel"]["notices"])


@pytest.mark.bubblewrap
async def test_disabled_lets_a_fitting_request_pass(
    bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> None:
    async with (
        serving(LimitedUpstream(4096)) as upstream,
        runtime_on(upstream.url, bubblewrap_backend, tmp_path) as runtime,
    ):
        upstream.prepared = ["Hello."]
        response = await turns_of(runtime)(
            "Hi.", model="chat/m", truncation="disabled", max_output_tokens=4090
        )
        assert (response.status, response.output_text) == ("completed", "Hello.")
        assert (response.truncation, len(items(response))) == ("disabled", 1)


def fitting(window: int | None, said: list[Item]) -> Fitting:
    gauge = Gauge()
    gauge.configured = window

    async def compact(room: int) -> None:
        raise AssertionError(room)

    def refuse(line: str, before: str | None) -> None:
        raise AssertionError(line)

    def build(given: Any) -> ModelRequest:
        return ModelRequest("m", given)

    return Fitting(gauge, lambda: said, build, compact, FitNotice(refuse), ItemSizes(), truncates=False)


@pytest.mark.parametrize("words", [2000, 5000, 50_000])
async def test_configured_window_is_checked_before_sending(words: int) -> None:
    said: list[Item] = [{"role": "user", "content": "word " * words}]
    with pytest.raises(ContextLengthExceeded, match="has 2,000"):
        await fitting(2000, said).request()
    assert (await fitting(None, said).request()).input == said
    assert (await fitting(100_000, said).request()).input == said
