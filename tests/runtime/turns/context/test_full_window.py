"""Conversations that do not fit the model's context window go on: shortened for the model, then compacted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

import pytest
from openai.types.responses import Response

from agent_kernel.protocol.fold import fold
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from tests.runtime.played import SHELL, Turn, items, runtime_on, turns_of
from tests.runtime.turns.limited import COMPACTED, SUMMARY, LimitedUpstream, serving

pytestmark = pytest.mark.bubblewrap

FUNCTION = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
DIALECTS = ["chat/m", "responses/m"]
EACH = pytest.mark.parametrize(
    ("model", "says"),
    [("chat/m", "llama"), ("responses/m", "vllm"), ("responses/m", "openai"), ("chat/m", "words")],
)

Start = Callable[..., Awaitable[tuple[LimitedUpstream, Turn]]]


@pytest.fixture
def runtimes() -> list[LocalRuntime]:
    """The runtimes that `start` has made."""
    return []


@pytest.fixture
async def start(
    bubblewrap_backend: BubblewrapBackend, tmp_path: Path, runtimes: list[LocalRuntime]
) -> AsyncIterator[Start]:
    """Serve an upstream with this window, and run turns with it."""
    async with AsyncExitStack() as stack:

        async def started(window: int, **fields: Any) -> tuple[LimitedUpstream, Turn]:
            upstream = await stack.enter_async_context(serving(LimitedUpstream(window, **fields)))
            runtime = await stack.enter_async_context(runtime_on(upstream.url, bubblewrap_backend, tmp_path))
            runtimes.append(runtime)
            return upstream, turns_of(runtime)

        yield started


def ours(response: Response) -> dict[str, Any]:
    """The response's `agent_kernel` field."""
    return (response.model_extra or {}).get("agent_kernel") or {}


def notices(response: Response) -> str:
    return " ".join(ours(response).get("notices", []))


def looked(output: str) -> list[dict[str, Any]]:
    """A conversation in which the client's function was called."""
    call = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
    answer = {"type": "function_call_output", "call_id": "c1", "output": output}
    return [{"role": "user", "content": "Look."}, call, answer]


@EACH
async def test_output_over_the_window_is_shortened(start: Start, model: str, says: str) -> None:
    upstream, turn = await start(4096, says=says)
    upstream.prepared = [
        {"commands": ["seq 1 40000"], "max_output_length": 40_000},
        "Many numbers.",
        "Still many.",
    ]
    first = await turn("Count.", model=model, tools=[SHELL])
    assert (first.status, first.output_text) == ("completed", "Many numbers.")
    kinds = [item["type"] for item in items(first)]
    assert kinds == ["shell_call", "shell_call_output", "message"]
    stored = items(first)[1]["output"][0]["stdout"]
    assert len(stored) > 40_000, "the stored item is whole"
    log = stored.split("the log is ")[1].split(" ")[0]
    assert log in upstream.last
    assert r"1\\n2\\n3\\n" in upstream.last
    assert r"39999\\n40000" in upstream.last
    assert "tool output was shortened" in notices(first)
    refused = len(upstream.refused)
    second = await turn("And now?", model=model, tools=[SHELL], previous_response_id=first.id)
    assert second.output_text == "Still many."
    assert len(upstream.refused) == refused, "the window is known now"
    assert "tool output was shortened" in notices(second)


@pytest.mark.parametrize("model", DIALECTS)
async def test_log_of_whole_output_is_named(start: Start, model: str) -> None:
    """The stored text is whole, so it does not name the log itself."""
    upstream, turn = await start(10_000_000)
    upstream.prepared = [{"commands": ["seq 1 9000"]}, "Many.", "Again.", "Once more."]
    first = await turn("Count.", model=model, tools=[SHELL])
    (content,) = items(first)[1]["output"]
    assert len(content["stdout"]) == 43_893
    path = content["agent_kernel"]["log"]
    assert path not in upstream.last, "nothing was shortened yet"
    upstream.window = 4096
    second = await turn("Go on.", model=model, tools=[SHELL], previous_response_id=first.id)
    assert f"the log is {path}" in upstream.last
    given = [{"role": "user", "content": "Count."}, *items(first), *items(second)]
    await turn([*given, {"role": "user", "content": "And?"}], model=model, tools=[SHELL], store=False)
    assert f"the log is {path}" in upstream.last, "also if the client sends the items back"


@EACH
@pytest.mark.parametrize("length", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
async def test_a_stored_chain_over_the_window_goes_on(
    start: Start, model: str, says: str, length: int
) -> None:
    """The chain was stored with a larger window, or by an earlier version."""
    upstream, turn = await start(10_000_000, says=says)
    upstream.prepared = ["Seen.", "Again.", "Short."]
    first = await turn(looked("y" * length), model=model, tools=[FUNCTION])
    upstream.window = 2048
    second = await turn("Go on.", model=model, previous_response_id=first.id, tools=[FUNCTION])
    assert (second.status, second.output_text) == ("completed", "Again.")
    assert "Go on." in upstream.last
    assert 1 <= len(upstream.refused) <= 8
    third = await turn("Once more.", model=model, previous_response_id=second.id, tools=[FUNCTION])
    assert third.output_text == "Short."


@EACH
async def test_a_long_conversation_is_compacted(start: Start, model: str, says: str) -> None:
    upstream, turn = await start(10_000_000, says=says)
    upstream.prepared = [*["a" * 3000] * 6, "On.", "On and on."]
    last = None
    for number in range(6):
        last = (await turn(f"Question {number}", model=model, previous_response_id=last)).id
    upstream.window = 2048
    after = await turn("Go on.", model=model, previous_response_id=last)
    assert (after.status, after.output_text) == ("completed", "On.")
    assert [item["type"] for item in items(after)] == ["compaction", "message"]
    assert SUMMARY in upstream.last
    assert "Go on." in upstream.last
    assert "a summary replaced earlier items" in notices(after)
    assert upstream.summaries, "the request for a summary fits, too"
    assert len(upstream.refused) <= 8
    assert (await turn("More.", model=model, previous_response_id=after.id)).output_text == "On and on."


@pytest.mark.parametrize("model", DIALECTS)
async def test_long_questions_are_shortened_but_the_last(start: Start, model: str) -> None:
    upstream, turn = await start(2048)
    upstream.prepared = ["One.", "Two.", "Three."]
    first = await turn("p" * 5000, model=model)
    second = await turn("q" * 5000, model=model, previous_response_id=first.id)
    assert "the oldest messages were shortened" in notices(second)
    assert "q" * 5000 in upstream.last
    assert second.output_text == "Two."


@EACH
async def test_a_question_over_the_window_fails_once(start: Start, model: str, says: str) -> None:
    upstream, turn = await start(1024, says=says)
    upstream.prepared = ["Short."]
    failed = await turn("q" * 100_000, model=model)
    assert failed.status == "failed"
    assert failed.error is not None
    assert str(failed.error.code) == "context_length_exceeded"
    assert "larger window" in failed.error.message
    assert len(upstream.refused) <= 4
    after = await turn("Well?", model=model, previous_response_id=failed.id)
    assert after.output_text == "Short.", "and the chain goes on"


@pytest.mark.parametrize("model", DIALECTS)
async def test_each_step_of_a_long_turn_fits(start: Start, model: str) -> None:
    upstream, turn = await start(4096)
    command = {"commands": ["head -c 12000 /dev/zero | tr '\\0' x; echo end"]}
    upstream.prepared = [*[command] * 8, "Done."]
    response = await turn("Go.", model=model, tools=[SHELL])
    assert response.output_text == "Done."
    outputs = [item for item in items(response) if item["type"] == "shell_call_output"]
    assert [len(each["output"][0]["stdout"]) for each in outputs] == [12004] * 8
    assert len(ours(response)["notices"]) == 1, "one line says all"
    assert len(upstream.refused) <= 3


async def test_an_answer_limit_over_the_window_is_lowered(start: Start) -> None:
    upstream, turn = await start(2048)
    upstream.prepared = ["Fits.", "Fits."]
    response = await turn("Hi.", model="chat/m", max_output_tokens=5000)
    assert response.output_text == "Fits."
    assert len(upstream.refused) == 1
    assert upstream.answered[0]["max_tokens"] < 2048
    assert not notices(response)


@pytest.mark.parametrize(("model", "usage"), [("chat/m", True), ("responses/m", False)])
async def test_a_known_window_shows_how_full_it_is(start: Start, model: str, usage: bool) -> None:
    upstream, turn = await start(2048, usage=usage)
    upstream.prepared = ["One.", "Two."]
    assert "context" not in ours(await turn("Hi.", model=model)), "the size is not known yet"
    response = await turn(looked("z" * 20_000), model=model, tools=[FUNCTION])
    context = ours(response)["context"]
    assert context["window"] == 2048
    assert len(json.dumps(upstream.answered[-1])) / 4 == pytest.approx(context["tokens"], rel=0.3)


@pytest.mark.parametrize("model", DIALECTS)
async def test_many_short_questions_fit(start: Start, model: str) -> None:
    """Compaction keeps the questions, so there can be too many of them."""
    upstream, turn = await start(1024)
    given = [{"role": "user", "content": f"Question {number}: {'q' * 100}"} for number in range(200)]
    upstream.prepared = ["Yes.", "Still yes."]
    first = await turn(given, model=model)
    assert first.output_text == "Yes."
    assert "Question 199" in upstream.last
    assert (await turn("And?", model=model, previous_response_id=first.id)).output_text == "Still yes."


async def test_threshold_over_the_window_is_no_trap(start: Start) -> None:
    upstream, turn = await start(10_000_000)
    upstream.prepared = ["a" * 40_000, "b" * 40_000, "On."]
    first = await turn("One.")
    second = await turn("Two.", previous_response_id=first.id)
    upstream.window = 2048
    limit = [{"type": "compaction", "compact_threshold": 15_000}]
    third = await turn("Three.", previous_response_id=second.id, context_management=limit)
    assert third.output_text == "On."
    assert [item["type"] for item in items(third)] == ["compaction", "message"]
    assert SUMMARY in upstream.last


@pytest.mark.parametrize("model", DIALECTS)
async def test_compaction_over_the_window(start: Start, runtimes: list[LocalRuntime], model: str) -> None:
    upstream, turn = await start(1024, says="words")
    upstream.prepared = ["On."]
    given = [*looked("z" * 100_000), {"role": "assistant", "content": "Seen. " * 5000}]
    compacted = await runtimes[0].compact({"model": model, "input": given})
    assert len(upstream.summaries) == 1
    await turn([*to_json(compacted)["output"], {"role": "user", "content": "Go on."}], model=model)
    assert SUMMARY in upstream.last


async def test_an_upstream_compacts_for_a_full_window(start: Start) -> None:
    upstream, turn = await start(10_000_000, says="openai", compacts=True)
    upstream.prepared = [*["a" * 3000] * 6, "On.", "On and on."]
    last = None
    for number in range(6):
        last = (await turn(f"Question {number}", model="openai/m", previous_response_id=last)).id
    upstream.window = 2048
    after = await turn("Go on.", model="openai/m", previous_response_id=last)
    assert [item["type"] for item in items(after)] == ["compaction", "message"]
    assert upstream.answered[-1]["input"][0] == COMPACTED
    more = await turn("More.", model="openai/m", previous_response_id=after.id)
    assert more.output_text == "On and on."
    assert upstream.answered[-1]["input"][0] == COMPACTED
    assert not notices(more), "what the upstream has compacted counts no more"


async def test_background_turn_goes_on(start: Start, runtimes: list[LocalRuntime]) -> None:
    upstream, turn = await start(10_000_000)
    upstream.prepared = ["Seen.", "In the background."]
    first = await turn(looked("y" * 40_000), tools=[FUNCTION])
    upstream.window = 2048
    request = {"input": "Go on.", "previous_response_id": first.id, "background": True, "tools": [FUNCTION]}
    async with aclosing(runtimes[0].respond(request)) as events:
        ended = fold([event async for event in events])
    assert ended.output_text == "In the background."
    stored = await runtimes[0].retrieve(ended.id)
    assert "tool output was shortened" in notices(stored)


@pytest.mark.parametrize("model", DIALECTS)
async def test_a_summary_leaves_the_answer_its_limit(start: Start, model: str) -> None:
    upstream, turn = await start(10_000_000)
    upstream.prepared = [*["a" * 3000] * 4, "On."]
    last = None
    for number in range(4):
        last = (await turn(f"Question {number}", model=model, previous_response_id=last)).id
    upstream.window = 2048
    after = await turn("Go on.", model=model, previous_response_id=last, max_output_tokens=5)
    assert after.output_text == "On."
    limits = [upstream.answered[-1].get(name) for name in ("max_tokens", "max_output_tokens")]
    assert 5 in limits, "the summary had five tokens, too"
