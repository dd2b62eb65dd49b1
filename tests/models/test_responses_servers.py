"""Responses servers that leave out indices, deltas or closing events, as real ones do."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from agent_kernel.errors import UpstreamInterrupted
from agent_kernel.models.responses import ResponsesModel
from agent_kernel.models.retry import RetryPolicy
from agent_kernel.models.upstream import Upstream
from agent_kernel.protocol.deltas import (
    ItemBreak,
    MessagePhase,
    ModelDelta,
    ReasoningDelta,
    TextDelta,
    Truncated,
    Usage,
)
from tests.models.test_responses import USER, end
from tests.tools.made import function_delta, model_request, shell_done

Make = Callable[[], ResponsesModel]
PLOT = [{"type": "function", "name": "plot"}]


@pytest.fixture
async def model(upstream: Any) -> AsyncIterator[ResponsesModel]:
    made = ResponsesModel(Upstream(upstream.url, "sk-secret", retry=RetryPolicy(0)), native=False)
    yield made
    await made.aclose()


async def said(model: ResponsesModel, **fields: Any) -> list[ModelDelta]:
    request = model_request("m", [USER], **fields)
    return [delta async for delta in model.stream(request) if not isinstance(delta, ItemBreak)]


def text(deltas: list[ModelDelta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


def bare(kind: str, **fields: Any) -> dict[str, Any]:
    """An event without any index, as llama.cpp sends them."""
    return {"type": f"response.{kind}", **fields}


def call(number: int, name: str, arguments: str, **fields: Any) -> dict[str, Any]:
    ids = {"id": f"fc_{number}", "call_id": f"call_{number}"}
    return {"type": "function_call", **ids, "name": name, "arguments": arguments, **fields}


SHELL = '{"commands": ["ls"]}'
MESSAGE = {"type": "message", "id": "msg_1", "role": "assistant"}


def parts(words: str) -> list[dict[str, Any]]:
    return [{"type": "output_text", "text": words, "annotations": []}]


# -- no indices ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names", [("plot", "plot"), ("shell", "shell"), ("plot", "shell"), ("shell", "plot")]
)
@pytest.mark.parametrize("together", [False, True], ids=["one by one", "together"])
async def test_two_calls_without_indices(
    model: ResponsesModel, upstream: Any, names: tuple[str, str], together: bool
) -> None:
    arguments = {"plot": '{"x": 1}', "shell": SHELL}
    events: list[list[dict[str, Any]]] = []
    for number, name in enumerate(names):
        whole = call(number, name, arguments[name])
        events.append(
            [
                bare("output_item.added", item={**whole, "arguments": ""}),
                bare("function_call_arguments.delta", item_id=f"fc_{number}", delta=arguments[name]),
                bare("output_item.done", item={**whole, "status": "completed"}),
            ]
        )
    mixed = [event for pair in zip(*events, strict=True) for event in pair]
    upstream.says(*(mixed if together else [*events[0], *events[1]]), end())
    deltas = await said(model, functions=PLOT)
    for number, name in enumerate(names):
        assert done(f"call_{number}", name) in deltas


def done(call_id: str, name: str) -> ModelDelta:
    """The delta of a whole call."""
    return shell_done(call_id, ("ls",)) if name == "shell" else function_delta(call_id, "plot", '{"x": 1}')


async def test_text_and_a_call_without_indices(model: ResponsesModel, upstream: Any) -> None:
    upstream.says(
        bare("output_item.added", item={**MESSAGE, "content": []}),
        bare("output_text.delta", item_id="msg_1", delta="Let me "),
        bare("output_text.delta", item_id="msg_1", delta="look."),
        bare("output_item.done", item={**MESSAGE, "content": parts("Let me look.")}),
        bare("output_item.added", item=call(1, "shell", "")),
        bare("function_call_arguments.delta", item_id="fc_1", delta=SHELL),
        bare("output_item.done", item=call(1, "shell", SHELL, status="completed")),
        end(output=[{**MESSAGE, "content": parts("Let me look.")}, call(1, "shell", SHELL)]),
    )
    deltas = await said(model)
    assert text(deltas) == "Let me look."
    assert [each for each in deltas if each == shell_done("call_1", ("ls",))] == [
        shell_done("call_1", ("ls",))
    ]


# -- no deltas, or no closing events ---------------------------------------------------------------------


@pytest.mark.parametrize("where", ["text done", "item done", "completed", "all of them", "after deltas"])
async def test_text_is_read_once_from_wherever_it_is(
    model: ResponsesModel, upstream: Any, where: str
) -> None:
    whole = {**MESSAGE, "status": "completed", "content": parts("Hello.")}
    place: dict[str, Any] = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    events: list[dict[str, Any]] = [
        bare("output_item.added", output_index=0, item={**MESSAGE, "content": []})
    ]
    if where == "after deltas":
        events += [bare("output_text.delta", **place, delta=each) for each in ("Hel", "lo.")]
    if where in ("text done", "all of them", "after deltas"):
        events.append(bare("output_text.done", **place, text="Hello."))
    if where in ("item done", "all of them", "after deltas"):
        events.append(bare("output_item.done", output_index=0, item=whole))
    # Another id in the closing event, as vLLM gives it.
    output = [{**whole, "id": "msg_other"}] if where in ("completed", "all of them", "after deltas") else []
    upstream.says(*events, end(output=output))
    assert text(await said(model)) == "Hello."


@pytest.mark.parametrize("where", ["arguments done", "item done", "completed", "all of them", "deltas only"])
@pytest.mark.parametrize("name", ["shell", "plot"])
async def test_a_call_is_read_once_from_wherever_it_is(
    model: ResponsesModel, upstream: Any, where: str, name: str
) -> None:
    arguments = SHELL if name == "shell" else '{"x": 1}'
    whole = call(1, name, arguments, status="completed")
    events: list[dict[str, Any]] = []
    if where != "completed":
        events.append(bare("output_item.added", output_index=0, item=call(1, name, "")))
    if where == "deltas only":
        events.append(bare("function_call_arguments.delta", output_index=0, item_id="fc_1", delta=arguments))
    if where in ("arguments done", "all of them"):
        events.append(
            bare("function_call_arguments.done", output_index=0, item_id="fc_1", arguments=arguments)
        )
    if where in ("item done", "all of them"):
        events.append(bare("output_item.done", output_index=0, item=whole))
    output = [{**whole, "id": "fc_other"}] if where in ("completed", "all of them") else []
    upstream.says(*events, end(output=output))
    deltas = await said(model, functions=PLOT)
    assert deltas.count(done("call_1", name)) == 1


async def test_reasoning_only_in_the_closing_event(model: ResponsesModel, upstream: Any) -> None:
    summary = [{"type": "summary_text", "text": "Hm"}]
    upstream.says(end(output=[{"type": "reasoning", "id": "rs_1", "summary": summary}]))
    assert await said(model) == [ReasoningDelta("Hm", part=0)]


@pytest.mark.parametrize(
    "events",
    [
        [bare("content_part.done", output_index=0, content_index=0, part=parts("Hello.")[0])],
        [bare("output_text.delta", output_index=0, delta="Hel")],
        [bare("output_text.delta", output_index=0, content_index=0, delta=None)],
    ],
    ids=["part done", "half in deltas", "empty delta"],
)
async def test_rest_of_a_text_is_read(model: ResponsesModel, upstream: Any, events: list[Any]) -> None:
    item = {**MESSAGE, "content": [*parts("Hel"), *parts("lo.")]}
    upstream.says(*events, bare("output_item.done", output_index=0, item=item), end())
    assert text(await said(model)) == "Hello."


@pytest.mark.parametrize("content", ["Hello.", ["Hello."], [None, *parts("Hello.")], [{"text": "Hello."}]])
@pytest.mark.parametrize("closing", [True, False])
async def test_content_of_another_form_is_read(
    model: ResponsesModel, upstream: Any, content: Any, closing: bool
) -> None:
    item = {**MESSAGE, "content": content}
    events = [] if closing else [bare("output_item.done", output_index=0, item=item)]
    upstream.says(*events, end(output=[None, {"id": "x"}, item] if closing else None))
    assert text(await said(model)) == "Hello."


async def test_reasoning_in_the_content_of_its_item(model: ResponsesModel, upstream: Any) -> None:
    thought = [{"type": "reasoning_text", "text": "Hm"}]
    upstream.says(end(output=[{"type": "reasoning", "id": "rs_1", "summary": [], "content": thought}]))
    assert await said(model) == [ReasoningDelta("Hm", part=0)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"output_index": 0}, {"output_index": 0}),
        ({"item": {"id": "same"}}, {"item": {"id": "same"}}),
        ({"item": {"id": None}}, {"item": {"id": None}}),
    ],
    ids=["same index", "same id", "no id"],
)
async def test_calls_that_are_numbered_alike(
    model: ResponsesModel, upstream: Any, first: dict[str, Any], second: dict[str, Any]
) -> None:
    events = []
    for number, fields in enumerate((first, second)):
        place = {name: value for name, value in fields.items() if name != "item"}
        whole = {**call(number, "shell", SHELL), **fields.get("item", {})}
        events.append(bare("output_item.added", **place, item={**whole, "arguments": ""}))
        events.append(bare("output_item.done", **place, item=whole))
    upstream.says(*events, end())
    deltas = await said(model)
    assert [deltas.count(done(f"call_{number}", "shell")) for number in range(2)] == [1, 1]


@pytest.mark.parametrize(
    "usage", [{"input_tokens": "5", "output_tokens": 7.0}, {"input_tokens": 5, "output_tokens": "7"}]
)
async def test_usage_of_another_form_is_read(model: ResponsesModel, upstream: Any, usage: Any) -> None:
    upstream.says(end(usage=usage))
    assert await said(model) == [Usage(5, 7)]


# -- answers that were cut off ---------------------------------------------------------------------------


@pytest.mark.parametrize(("used", "cut"), [(7, True), (9, True), (6, False), (None, False)])
async def test_an_answer_that_used_up_its_limit_is_cut(
    model: ResponsesModel, upstream: Any, used: int | None, cut: bool
) -> None:
    usage = None if used is None else {"input_tokens": 1, "output_tokens": used, "total_tokens": used + 1}
    upstream.says(bare("output_text.delta", item_id="m", delta="Once upon"), end(usage=usage))
    deltas = await said(model, settings={"max_output_tokens": 7})
    assert (Truncated("max_output_tokens") in deltas) is cut
    assert [each for each in deltas if isinstance(each, Usage)] == ([Usage(1, used)] if used else [])


async def test_status_in_the_closing_event_counts(model: ResponsesModel, upstream: Any) -> None:
    upstream.says(
        bare("output_text.delta", item_id="m", delta="Once upon"),
        end(status="incomplete", incomplete_details={"reason": "content_filter"}),
    )
    assert Truncated("content_filter") in await said(model)


@pytest.mark.parametrize("error", [{"code": "server_error", "message": "On fire."}, "On fire."])
@pytest.mark.parametrize("kind", ["completed", "failed"])
async def test_words_of_a_failure_are_passed_on(
    model: ResponsesModel, upstream: Any, kind: str, error: Any
) -> None:
    upstream.says(bare(kind, response={"id": "r", "status": "failed", "output": [], "error": error}))
    with pytest.raises(UpstreamInterrupted, match="On fire"):
        await said(model)


@pytest.mark.parametrize("event", [bare("completed", response=3), bare("failed", response=[1])])
async def test_unknown_form_is_the_upstreams_failure_or_nothing(
    model: ResponsesModel, upstream: Any, event: Any
) -> None:
    upstream.says(event)
    with contextlib.suppress(UpstreamInterrupted):
        await said(model)


# -- characters in two halves ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pieces", "whole"),
    [
        (["a\ud83d", "\ude00b"], "a\U0001f600b"),
        (["\ud83d", "", "\ude00"], "\U0001f600"),
        (["\ud83d", "x"], "\ufffdx"),
        (["\ude00"], "\ufffd"),
        (["ok \ud83d"], "ok \ufffd"),
        (["\ud83d", "\ude00\ud83d", "\ude01"], "\U0001f600\U0001f601"),
    ],
)
async def test_halves_of_a_character_are_joined(
    model: ResponsesModel, upstream: Any, pieces: list[str], whole: str
) -> None:
    upstream.says(
        *(bare("output_text.delta", output_index=0, item_id="m", delta=piece) for piece in pieces),
        bare("output_item.done", output_index=0, item={**MESSAGE, "content": parts(whole)}),
        end(),
    )
    assert text(await said(model)) == whole


# -- the phase of a message ------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("told_in", ["added", "done", "both"])
async def test_phase_comes_before_text_and_once(
    model: ResponsesModel, upstream: Any, streamed: bool, told_in: str
) -> None:
    labelled = {**MESSAGE, "content": [], "phase": "commentary"}
    plain = {**MESSAGE, "content": []}
    whole = labelled if told_in != "added" else plain
    upstream.says(
        bare("output_item.added", output_index=0, item=labelled if told_in != "done" else plain),
        *([bare("output_text.delta", output_index=0, delta="Hi")] if streamed else []),
        bare("output_item.done", output_index=0, item={**whole, "content": parts("Hi")}),
        end(),
    )
    deltas = [TextDelta("Hi"), MessagePhase("commentary")]
    assert await said(model) == (deltas if streamed and told_in == "done" else deltas[::-1])


@pytest.mark.parametrize("phase", [None, "", 7, {}])
async def test_unusable_phase_is_dropped(model: ResponsesModel, upstream: Any, phase: Any) -> None:
    upstream.responds({**MESSAGE, "content": parts("Hi"), "phase": phase})
    assert await said(model) == [TextDelta("Hi")]


async def test_arguments_that_are_an_object_are_read(model: ResponsesModel, upstream: Any) -> None:
    item: dict[str, Any] = {**call(1, "shell", ""), "arguments": {"commands": ["ls", "pwd"]}}
    upstream.says(bare("output_item.done", item=item), end(output=[]))
    assert shell_done("call_1", ("ls", "pwd")) in await said(model)
