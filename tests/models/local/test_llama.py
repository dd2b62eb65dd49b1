"""Turns on a real model server. The model is tiny: tests look at events, statuses and items, not at words."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import pytest
from openai.types.responses import Response

from agent_kernel.models.probing.probe import probe
from agent_kernel.models.upstream import Upstream
from agent_kernel.protocol.fold import fold
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.turns.model_step import NOT_CALLED
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from tests.models.local.server import Llama
from tests.runtime.played import SHELL, Turn, items, runtime_on, turns_of

pytestmark = [pytest.mark.bubblewrap, pytest.mark.timeout(600)]  # the first run installs the server

ONE_DIALECT = pytest.mark.shown_on("chat")
"""What the turn does, not the dialect; `tests/models` tests the same with both on played upstreams."""

CALLS = {"tools": [SHELL], "tool_choice": "required"}
STORY = "Tell a long story about a house."


def of(response: Response, kind: str) -> list[dict[str, Any]]:
    return [item for item in items(response) if item["type"] == kind]


def printed(response: Response) -> list[str]:
    return [each["stdout"] for item in of(response, "shell_call_output") for each in item["output"]]


def failure(response: Response) -> str:
    """Return the error's code, which the package's types do not list."""
    code: str = to_json(response)["error"]["code"]
    return code


async def test_text_streams_and_is_cut_at_the_limit(runtime: LocalRuntime, model: str) -> None:
    request = {"model": model, "input": STORY, "max_output_tokens": 8}
    async with aclosing(runtime.respond(request)) as stream:
        events: list[Any] = [event async for event in stream]
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    response = fold(events)
    assert len(deltas) > 2
    assert "".join(deltas) == response.output_text
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.usage is not None
    assert response.usage.output_tokens == 8


async def test_call_runs_and_chain_continues(turn: Turn, model: str) -> None:
    first = await turn("echo hello", model=model, **CALLS)
    assert first.status == "completed"
    assert printed(first) == ["hello\n"]
    assert [item["type"] for item in items(first)] == ["shell_call", "shell_call_output", "message"]
    again = {"previous_response_id": first.id, "max_output_tokens": 2}
    second = await turn("Go on.", model=model, tools=[SHELL], **again)
    assert second.status == "incomplete"


@ONE_DIALECT
async def test_parallel_calls_run_once_each(turn: Turn, model: str) -> None:
    response = await turn("uname and whoami", model=model, parallel_tool_calls=True, **CALLS)
    assert response.status == "completed"
    calls = of(response, "shell_call")
    assert [call["action"]["commands"] for call in calls] == [["uname"], ["whoami"]]
    assert len({call["call_id"] for call in calls}) == 2
    assert printed(response)[0] == "Linux\n"
    assert len(printed(response)) == 2


async def test_cut_call_does_not_run(turn: Turn, model: str) -> None:
    cut = await turn("echo hello", model=model, max_output_tokens=18, **CALLS)
    assert cut.status == "incomplete"
    assert printed(cut) == []
    again = await turn("Go on.", model=model, previous_response_id=cut.id, max_output_tokens=2)
    assert again.status == "incomplete"


async def test_long_input_gives_a_clear_error(turn: Turn, model: str) -> None:
    first = await turn("Hello.", model=model, max_output_tokens=2)
    full = await turn("word " * 2000, model=model, previous_response_id=first.id)
    assert full.status == "failed"
    assert failure(full) == "context_length_exceeded"
    again = await turn("Go on.", model=model, previous_response_id=first.id, max_output_tokens=2)
    assert again.status == "incomplete"


@pytest.mark.slow
async def test_long_tool_output_still_fits(turn: Turn, model: str) -> None:
    response = await turn("seq 3000", model=model, max_output_tokens=120, **CALLS)
    assert printed(response)[0].endswith("3000\n")  # with its history shortened, the model may call again
    if response.status == "failed":
        assert failure(response) == "context_length_exceeded"
    else:
        assert "shortened" in str(response.to_dict())
    again = {"previous_response_id": response.id, "max_output_tokens": 2}
    assert (await turn("Go on.", model=model, **again)).status == "incomplete"


@ONE_DIALECT
async def test_template_without_tools_gives_notice(
    words_only: Llama, bubblewrap_backend: BubblewrapBackend, tmp_path: Any, model: str
) -> None:
    async with runtime_on(words_only.url, bubblewrap_backend, tmp_path) as runtime:
        response = await turns_of(runtime)("echo one", model=model, **CALLS)
    assert response.status == "completed"
    assert [item["type"] for item in items(response)] == ["message"]
    assert NOT_CALLED in str(response.to_dict())


@ONE_DIALECT
async def test_cancel_stops_generation(llama: Llama, runtime: LocalRuntime, model: str) -> None:
    turn = turns_of(runtime)
    request = {"model": model, "input": STORY, "background": True, "stream": True}
    async with aclosing(runtime.respond(request)) as stream:
        events: list[Any] = []
        async for event in stream:
            events.append(event)
            if sum(each.type == "response.output_text.delta" for each in events) == 2:
                await runtime.cancel(events[0].response.id)
    response = fold(events)
    assert response.status == "cancelled"
    assert await llama.idle() < 200  # the context has room for 700
    again = await turn("Go on.", model=model, previous_response_id=response.id, max_output_tokens=2)
    assert again.status == "incomplete"


@ONE_DIALECT
async def test_killed_server_fails_the_turn_only(llama: Llama, runtime: LocalRuntime, model: str) -> None:
    events: list[Any] = []
    async with aclosing(runtime.respond({"model": model, "input": STORY})) as stream:
        async for event in stream:
            events.append(event)
            if sum(each.type == "response.output_text.delta" for each in events) == 2:
                llama.kill()
    response = fold(events)
    try:
        assert response.status == "failed"
        assert response.output_text
        assert response.error is not None
        assert "broke off" in response.error.message
        turn = turns_of(runtime)
        away = await turn("Go on.", model=model, previous_response_id=response.id)
        assert away.error is not None
        assert "No server answers" in away.error.message
    finally:
        llama.start()
    again = await turn("Go on.", model=model, previous_response_id=away.id, max_output_tokens=2)
    assert again.status == "incomplete"


async def test_server_tells_tools_and_context(llama: Llama, words_only: Llama) -> None:
    for server, tools in ((llama, True), (words_only, False)):
        upstream = Upstream(server.url, None)
        report = await probe(upstream, "smollm2")
        await upstream.aclose()
        assert (report.problem, report.served) == (None, True)
        assert (report.tools, report.context) == (tools, 768)
