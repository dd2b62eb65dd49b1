"""Servers of the Messages API that fail, and hostile ones: clear errors, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import traceback
from typing import Any

import pytest

from agent_kernel.errors import (
    ContextLengthExceeded,
    ModelError,
    RateLimited,
    UpstreamInterrupted,
    UpstreamRefused,
    UpstreamUnavailable,
)
from agent_kernel.models.anthropic.model import AnthropicModel
from agent_kernel.models.base import MAX_STEP_TOKENS
from agent_kernel.protocol.calls import CallDelta, CallDone
from agent_kernel.protocol.deltas import ModelDelta, TextDelta, Truncated, Usage
from tests.models.anthropic.conftest import model_at
from tests.models.anthropic.messages_server import KEY, MessagesServer, Reply
from tests.models.anthropic.shapes import Event, error, stream, text, thinking, use, whole
from tests.models.anthropic.test_messages import ADD, ASKED, items_of, said
from tests.tools.made import model_request


async def fails(model: AnthropicModel, kind: type[ModelError], match: str) -> tuple[list[ModelDelta], Any]:
    """Return what came before the error, and the error."""
    got: list[ModelDelta] = []

    async def ask() -> None:
        async for delta in model.stream(model_request("claude-test", [ASKED])):
            got.append(delta)

    with pytest.raises(kind, match=match) as caught:
        await ask()
    assert KEY not in "".join(traceback.format_exception(caught.value))
    return got, caught.value


@pytest.mark.parametrize(
    ("status", "kind", "raised", "words"),
    [
        (400, "invalid_request_error", UpstreamRefused, r"refused the request \(400\): because of \*\*\*"),
        (401, "authentication_error", UpstreamRefused, r"refused the key \(401\)"),
        (402, "billing_error", UpstreamRefused, r"\(402\): because"),
        (403, "permission_error", UpstreamRefused, r"\(403\): because"),
        (404, "not_found_error", UpstreamRefused, r"\(404\): because"),
        (413, "request_too_large", ContextLengthExceeded, "does not fit"),
        (429, "rate_limit_error", RateLimited, r"cannot answer now \(429\): because"),
        (500, "api_error", UpstreamUnavailable, r"\(500\): because"),
        (529, "overloaded_error", UpstreamUnavailable, r"\(529\): because"),
    ],
)
async def test_status_becomes_an_error(
    messages: MessagesServer,
    model: AnthropicModel,
    status: int,
    kind: str,
    raised: type[ModelError],
    words: str,
) -> None:
    messages.refuses(status, kind, f"because of {KEY}")
    await fails(model, raised, words)


async def test_prompt_that_is_too_long_is_measured(messages: MessagesServer, model: AnthropicModel) -> None:
    messages.refuses(400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum")
    _, raised = await fails(model, ContextLengthExceeded, "208,310 tokens, 200,000 fit")
    assert (raised.tokens, raised.window) == (208_310, 200_000)


async def test_overload_is_tried_again(messages: MessagesServer) -> None:
    messages.refuses(529, "overloaded_error", "Overloaded", Retry_After="0")
    messages.answers.append(Reply([*stream(stop=None), error("overloaded_error", "Overloaded")]))
    messages.says(text("ok"))
    model = model_at(messages, retries=2)
    assert [each for each in await said(model) if isinstance(each, TextDelta)] == [TextDelta("ok")]
    assert len(messages.requests) == 3
    await model.aclose()


async def test_error_after_the_first_word_keeps_it(messages: MessagesServer) -> None:
    begun = stream(text("It is "), stop=None)[:4]
    messages.answers.append(Reply([*begun, error("overloaded_error", f"Overloaded {KEY}")]))
    model = model_at(messages, retries=2)
    got, _ = await fails(model, UpstreamInterrupted, r"broke off .* Overloaded \*\*\*")
    assert got == [TextDelta("It is ")]
    assert len(messages.requests) == 1
    await model.aclose()


def _changed(number: int, **fields: Any) -> list[Event]:
    events: list[Event] = stream(
        text("It is "), use("toolu_1", "shell", {"commands": ["ls"]}), stop="tool_use"
    )
    events[number] = {**events[number], **fields}
    return events


HOSTILE = {
    "text of another type": _changed(3, delta={"type": "text_delta", "text": {"a": 1}}),
    "delta of another type": _changed(3, delta="text"),
    "delta without a type": _changed(3, delta={"text": "It is "}),
    "delta of another block": _changed(3, index=7),
    "index of another type": _changed(3, index=[0]),
    "no index": [*stream(stop=None), {"type": "content_block_start", "content_block": text("")}],
    "block begun twice": _changed(5, index=0),
    "block without a type": _changed(2, content_block={}),
    "call without a name": _changed(5, content_block={"type": "tool_use", "id": "toolu_1", "input": {}}),
    "start without a message": _changed(0, message=None),
    "usage of another type": _changed(0, message={"usage": [1]}),
    "no end": stream(text("It is "), stop=None),
    "end without a reason": [*stream(text("It is "), stop=None), {"type": "message_stop"}],
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_stream_is_a_clear_error(
    messages: MessagesServer, model: AnthropicModel, name: str
) -> None:
    messages.answers.append(Reply(HOSTILE[name]))
    got, _ = await fails(model, UpstreamInterrupted, "broke off in the middle of its answer: ")
    assert not any(isinstance(each, CallDone) for each in got)
    assert all(each == TextDelta("It is ") or isinstance(each, CallDelta) for each in got)


async def test_deep_event_is_a_clear_error(messages: MessagesServer, model: AnthropicModel) -> None:
    deep = b'{"a":' * 5000 + b"1" + b"}" * 5000
    body = b'event: x\ndata: {"type": "content_block_start", "index": 0, "content_block": ' + deep + b"}\n\n"
    messages.answers.append(Reply(body=body))
    await fails(model, UpstreamInterrupted, "not an event")


async def test_missing_end_of_a_block_loses_nothing(messages: MessagesServer, model: AnthropicModel) -> None:
    events = stream(
        text("Look."), use("toolu_1", "shell", {"commands": ["ls"]}), text("Now."), stop="tool_use"
    )
    messages.answers.append(Reply([each for each in events if each["type"] != "content_block_stop"]))
    made = items_of(await said(model))
    assert [each["type"] for each in made] == ["message", "shell_call", "message"]


async def test_call_that_is_sent_twice_runs_once(messages: MessagesServer, model: AnthropicModel) -> None:
    same = use("toolu_1", "shell", {"commands": ["ls"]})
    messages.says(same, same, use("toolu_1", "shell", {"commands": ["pwd"]}), stop="tool_use")
    made = items_of(await said(model))
    assert [each["action"]["commands"] for each in made] == [["ls"], ["pwd"]]
    assert len({each["call_id"] for each in made}) == 2


@pytest.mark.parametrize("name", ["shell", "add", "unknown"])
async def test_arguments_that_are_no_object_are_rejected(
    messages: MessagesServer, model: AnthropicModel, name: str
) -> None:
    events = stream(use("toolu_1", name, {"commands": "ls"}), stop="tool_use")
    cut = [each for each in events if '"}' not in json.dumps(each.get("delta", {}).get("partial_json", ""))]
    assert len(cut) < len(events)
    messages.answers.append(Reply(cut))
    made = items_of(await said(model, functions=[ADD]))
    assert made[-1]["status"] == "failed"
    assert made[-1]["name"] == name


async def test_endless_answer_ends_at_its_limit(messages: MessagesServer, model: AnthropicModel) -> None:
    messages.answers.append(Reply(stream(thinking("x" * 5000), text("y" * 5000)), hold=True))
    deltas = await said(model, max_characters=1000)
    assert deltas[-2:] == [Truncated(MAX_STEP_TOKENS), Usage(2312, 1, 2000, service_tier="default")]
    written = sum(len(each.text) for each in deltas if hasattr(each, "text"))
    assert 1000 < written < 1100
    assert await asyncio.to_thread(messages.left.wait, 30)


async def test_body_without_a_stream_is_read(messages: MessagesServer, model: AnthropicModel) -> None:
    blocks = [thinking("Hm."), text("Look."), use("toolu_1", "shell", {"commands": ["ls"]})]
    messages.answers.append(Reply(body=json.dumps(whole(*blocks, stop="tool_use")).encode()))
    made = items_of(await said(model))
    assert [each["type"] for each in made] == ["reasoning", "message", "shell_call"]


async def test_forged_thinking_is_not_sent(messages: MessagesServer, model: AnthropicModel) -> None:
    forged = ["[" * 5000, "{}", json.dumps(["ak1", "", "other", "{}"]), json.dumps(["ak1", "", 1, []])]
    items = [{"type": "reasoning", "summary": [], "encrypted_content": each} for each in forged]
    messages.says(text("Yes."))
    await said(model, ASKED, *items, {"role": "assistant", "content": "Ten."}, ASKED)
    kinds = [block["type"] for message in messages.requests[0]["messages"] for block in message["content"]]
    assert kinds == ["text"] * 3


async def test_closing_ends_the_request(messages: MessagesServer, model: AnthropicModel) -> None:
    messages.answers.append(Reply(stream(text("It is "), stop=None), hold=True))
    answer = model.stream(model_request("claude-test", [ASKED]))
    assert await anext(answer) == TextDelta("It is ")
    await answer.aclose()
    assert await asyncio.to_thread(messages.left.wait, 30)


async def test_nobody_answers() -> None:
    class Nowhere:
        url = "http://127.0.0.1:9"

    model = model_at(Nowhere())  # type: ignore[arg-type]
    _, raised = await fails(model, UpstreamUnavailable, r"No server answers at http://127\.0\.0\.1:9/v1")
    assert "AGENT_KERNEL_UPSTREAM_URL" in str(raised)
    await model.aclose()


@pytest.mark.parametrize("key", [None, "sk-wrong"])
async def test_probe_says_what_is_wrong_with_a_key(messages: MessagesServer, key: str | None) -> None:
    model = model_at(messages, key=key)
    report = await model.server("claude-test")
    assert report.problem is not None
    assert "(401)" in report.problem
    assert ("a request without a key" if key is None else "refused the key") in report.problem
    await model.aclose()


async def test_probe_tells_limits_of_a_model(messages: MessagesServer, model: AnthropicModel) -> None:
    report = await model.server("claude-test")
    assert (report.served, report.tools, report.pictures, report.context) == (True, True, True, 200_000)
    report = await model.server("claude-none")
    assert "It lists claude-test." in str(report.problem)
    assert model.window("claude-test") is None
    messages.says(text("Yes."))
    await said(model)
    assert model.window("claude-test") == 200_000
