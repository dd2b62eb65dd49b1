"""When an upstream is asked again: the policy as arithmetic, and each way to fail at each stage."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest

from agent_kernel.errors import (
    ModelError,
    RateLimited,
    UpstreamInterrupted,
    UpstreamRefused,
    UpstreamUnavailable,
)
from agent_kernel.models.base import Model
from agent_kernel.models.chat import ChatModel
from agent_kernel.models.responses import ResponsesModel
from agent_kernel.models.retry import RetryPolicy, retry_after
from agent_kernel.models.upstream import Upstream
from agent_kernel.protocol.calls import CallDone
from agent_kernel.protocol.deltas import ModelDelta, TextDelta
from tests.tools.made import model_request

REQUEST = model_request("m", [{"role": "user", "content": "Hi"}])
CALL = {"commands": ["date"]}


# -- the policy ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chance", "waits"), [(0.0, [0.25, 0.5, 1.0, 1.0, None]), (1.0, [0.5, 1.0, 2.0, 2.0, None])]
)
def test_waits_double_up_to_the_longest_and_are_half_chance(chance: float, waits: list[float | None]) -> None:
    policy = RetryPolicy(attempts=4, first=0.5, longest=2.0, chance=lambda: chance)
    assert [policy.wait(failures, None) for failures in range(1, 6)] == waits


def test_two_turns_that_fail_together_do_not_come_back_together() -> None:
    chances = iter([0.1, 0.9])
    policy = RetryPolicy(chance=lambda: next(chances))
    assert policy.wait(1, None) != policy.wait(1, None)


def test_an_upstream_that_says_when_is_obeyed_within_reason() -> None:
    policy = RetryPolicy(attempts=1, first=0.5, patience=60, chance=lambda: 0.5)
    assert policy.wait(1, 7) == 7.25
    assert policy.wait(1, 60) == 60.25
    assert policy.wait(1, 61) is None
    assert policy.wait(2, 7) is None, "the attempts are used up"


def test_no_attempts() -> None:
    assert RetryPolicy(0).wait(1, None) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "12"}, 12),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "12"}, 0.25),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": format_datetime(datetime.fromtimestamp(1_000_030, UTC), usegmt=True)}, 30),
        ({"retry-after": format_datetime(datetime.fromtimestamp(999_000, UTC), usegmt=True)}, 0),
    ],
)
def test_reading_when(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=lambda: 1_000_000.0) == seconds


# -- the stages ---------------------------------------------------------------------------------------------


class Waits:
    """Stands in for the clock: what it was asked to wait for, in no time at all."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
def waits() -> Waits:
    return Waits()


Make = Callable[..., Model]


@pytest.fixture(params=["chat", "responses"])
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def make(upstream: Any, dialect: str, waits: Waits) -> AsyncGenerator[Make, None]:
    """Makes the model of the dialect; `silence` is in seconds."""
    made: list[Model] = []

    def make(*, attempts: int = 2, silence: float = 60.0) -> Model:
        retry = RetryPolicy(attempts, first=0.5, chance=lambda: 1.0, sleep=waits)
        up = Upstream(upstream.url, "sk", retry=retry, silence=silence)
        made.append(ChatModel(up) if dialect == "chat" else ResponsesModel(up, native=False))
        return made[-1]

    yield make
    for model in made:
        await model.aclose()


async def said(model: Model) -> list[ModelDelta]:
    async with aclosing(model.stream(REQUEST)) as deltas:
        return [delta async for delta in deltas]


def answers(upstream: Any, dialect: str) -> None:
    """A whole answer."""
    if dialect == "chat":
        upstream.chats({"content": "ok"})
    else:
        content = [{"type": "output_text", "text": "ok", "annotations": []}]
        upstream.responds({"type": "message", "id": "m", "role": "assistant", "content": content})


def opening(dialect: str, *what: str) -> list[dict[str, Any]]:
    """The beginning of an answer: "nothing" but the opening itself, a piece of "text", a whole "call"."""
    if dialect == "chat":
        function = {"name": "shell", "arguments": json.dumps(CALL)}
        call = {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": function}]}
        deltas = {"text": {"content": "Hel"}, "call": call, "nothing": {"role": "assistant"}}
        return [{"choices": [{"index": 0, "delta": deltas[each], "finish_reason": None}]} for each in what]
    item = {"type": "function_call", "id": "f", "call_id": "c1", "name": "shell"}
    whole = {**item, "arguments": json.dumps(CALL), "status": "completed"}
    events: dict[str, list[dict[str, Any]]] = {
        "nothing": [{"type": "response.created", "response": {"id": "r"}, "sequence_number": 0}],
        "text": [{"type": "response.output_text.delta", "delta": "Hel", "output_index": 0}],
        "call": [
            {"type": "response.output_item.added", "output_index": 0, "item": {**item, "arguments": ""}},
            {"type": "response.output_item.done", "output_index": 0, "item": whole},
        ],
    }
    return [event for each in what for event in events[each]]


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_a_refusal_for_now_is_asked_again(
    status: int, upstream: Any, dialect: str, make: Make, waits: Waits
) -> None:
    upstream.refuses(status, "not now")
    upstream.refuses(status, "not now")
    answers(upstream, dialect)
    assert TextDelta("ok") in await said(make())
    assert waits.seconds == [0.5, 1.0]


async def test_when_to_come_is_obeyed(upstream: Any, dialect: str, make: Make, waits: Waits) -> None:
    upstream.refuses(429, "slow down", headers={"Retry-After": "7"})
    answers(upstream, dialect)
    assert TextDelta("ok") in await said(make())
    assert waits.seconds == [7.5]


async def test_one_that_wants_an_hour_is_not_waited_for(upstream: Any, make: Make, waits: Waits) -> None:
    upstream.refuses(429, "slow down", headers={"Retry-After": "3600"})
    with pytest.raises(RateLimited, match=r"cannot answer now \(429\): slow down Try again in 3600 seconds"):
        await said(make())
    assert waits.seconds == []
    assert len(upstream.requests) == 1


async def test_an_empty_purse_is_not_asked_again(upstream: Any, make: Make, waits: Waits) -> None:
    upstream.refuses(429, "You exceeded your quota", code="insufficient_quota")
    with pytest.raises(UpstreamRefused, match="exceeded your quota"):
        await said(make())
    assert waits.seconds == []


@pytest.mark.parametrize("fails", ["before headers", "after headers", "after the opening", "garbage"])
async def test_what_breaks_before_the_first_word_is_asked_again(
    fails: str, upstream: Any, dialect: str, make: Make, waits: Waits
) -> None:
    match fails:
        case "before headers":
            upstream.says(mute=True)
        case "after headers":
            upstream.says(cut=True)
        case "after the opening":
            upstream.says(*opening(dialect, "nothing"), cut=True)
        case "garbage":
            upstream.says(raw=b"data: <html>\n\n")
    answers(upstream, dialect)
    assert TextDelta("ok") in await said(make())
    assert waits.seconds == [0.5]
    assert upstream.requests[0] == upstream.requests[1]


@pytest.mark.parametrize("mute", [True, False], ids=["before headers", "after headers"])
async def test_silence_before_the_first_word_is_asked_again(
    mute: bool, upstream: Any, dialect: str, make: Make, waits: Waits
) -> None:
    upstream.says(mute=mute, hold=True)
    upstream.says(mute=mute, hold=True)
    with pytest.raises(ModelError, match=r"(sent nothing|did not answer) for 0\.2 seconds"):
        await said(make(attempts=1, silence=0.2))
    assert waits.seconds == [0.5]


@pytest.mark.parametrize("fails", ["cut", "garbage", "error"])
@pytest.mark.parametrize("after", ["text", "call"])
async def test_what_breaks_after_a_word_is_never_asked_again(
    after: str, fails: str, upstream: Any, dialect: str, make: Make, waits: Waits
) -> None:
    begun = opening(dialect, "nothing", after)
    match fails:
        case "cut":
            upstream.says(*begun, cut=True)
        case "garbage":
            raw = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in begun)
            upstream.says(raw=raw + b"data: <html>\n\n")
        case "error":
            upstream.says(*begun, {"error": {"message": "out of memory", "code": "server_error"}})
    stream = make().stream(REQUEST)
    await anext(stream)  # what came before is passed on
    with pytest.raises(UpstreamInterrupted, match="broke off in the middle of its answer") as caught:
        await anext(stream)
    assert caught.value.hint == "Everything up to that point is kept. Send the request again."
    assert caught.value.fault == "model"
    assert waits.seconds == []
    assert len(upstream.requests) == 1


async def test_silence_after_a_word_is_never_waited_out_twice(upstream: Any, waits: Waits) -> None:
    """One dialect stands for both: the silence must be long enough for a slow machine to say the word in."""
    model = ChatModel(Upstream(upstream.url, "sk", retry=RetryPolicy(sleep=waits), silence=3))
    upstream.says(*opening("chat", "text"), hold=True)
    stream = model.stream(REQUEST)
    assert await anext(stream) == TextDelta("Hel")
    with pytest.raises(UpstreamInterrupted, match="it sent nothing for 3 seconds"):
        await anext(stream)
    assert waits.seconds == []
    await model.aclose()


async def test_a_failure_told_before_the_first_word_is_asked_again(upstream: Any, waits: Waits) -> None:
    retry = RetryPolicy(1, first=0.5, chance=lambda: 1.0, sleep=waits)
    model = ResponsesModel(Upstream(upstream.url, "sk", retry=retry), native=False)
    upstream.responds(status="failed", error={"code": "server_error", "message": "out of memory"})
    answers(upstream, "responses")
    assert TextDelta("ok") in await said(model)
    assert waits.seconds == [0.5]
    upstream.responds(status="failed", error={"code": "invalid_prompt", "message": "not this"})
    with pytest.raises(UpstreamRefused, match="not this"):
        await said(model)
    assert waits.seconds == [0.5]
    await model.aclose()


async def test_all_attempts_used_up(upstream: Any, make: Make, waits: Waits) -> None:
    for _ in range(3):
        upstream.refuses(503, "overloaded")
    with pytest.raises(UpstreamUnavailable, match=r"cannot answer now \(503\): overloaded Try again later"):
        await said(make())
    assert len(upstream.requests) == 3


async def test_leaving_while_it_waits_ends_the_wait(upstream: Any, dialect: str) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def sleep(_: float) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    upstream.refuses(503, "overloaded")
    up = Upstream(upstream.url, "sk", retry=RetryPolicy(sleep=sleep))
    model = ChatModel(up) if dialect == "chat" else ResponsesModel(up, native=False)
    asked = asyncio.create_task(said(model))
    await began.wait()
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    assert ended.is_set()
    assert len(upstream.requests) == 1
    await model.aclose()


async def test_a_call_is_passed_on_once_by_the_attempt_that_succeeds(
    upstream: Any, dialect: str, make: Make
) -> None:
    upstream.says(*opening(dialect, "nothing"), cut=True)
    if dialect == "chat":
        (call,) = opening(dialect, "call")
        upstream.chats(call["choices"][0]["delta"], finish="tool_calls")
    else:
        upstream.responds(opening(dialect, "call")[1]["item"])
    calls = [delta for delta in await said(make()) if isinstance(delta, CallDone)]
    assert [call.parts for call in calls] == [("date",)]
