"""Conversations that other servers made, as Chat Completions messages: their order, and custom tools."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from itertools import permutations
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.models.chat import ChatModel
from agent_kernel.models.responses import ResponsesModel
from agent_kernel.models.retry import RetryPolicy
from agent_kernel.models.upstream import Upstream
from tests.models.test_chat import said

Json = dict[str, Any]
IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AA"}
LOST = {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "It is new."}]}


@pytest.fixture
async def model(upstream: Any) -> AsyncIterator[ChatModel]:
    body = ChatModel(Upstream(upstream.url, "sk-secret", retry=RetryPolicy(0)))
    yield body
    await body.aclose()


def user(text: str) -> Json:
    return {"type": "message", "role": "user", "content": text}


def called(call_id: str) -> Json:
    return {"type": "function_call", "call_id": call_id, "name": "plot", "arguments": "{}"}


def output(call_id: str) -> Json:
    return {"type": "function_call_output", "call_id": call_id, "output": f"of {call_id}"}


def shell(call_id: str) -> tuple[Json, Json]:
    call = {"type": "shell_call", "call_id": call_id, "action": {"commands": ["ls"]}}
    return call, {"type": "shell_call_output", "call_id": call_id, "output": []}


def custom(call_id: str, **fields: Any) -> Json:
    return {"type": "custom_tool_call", "call_id": call_id, "name": "patch", "input": "*** ü", **fields}


def custom_output(call_id: str, said: Any = "Done.") -> Json:
    return {"type": "custom_tool_call_output", "call_id": call_id, "output": said}


async def messages(model: ChatModel, upstream: Any, items: Sequence[Json]) -> list[Json]:
    upstream.chats({"content": "ok"})
    await said(model, *items)
    sent: list[Json] = upstream.requests[-1]["messages"]
    return sent


def check_order(sent: Sequence[Json]) -> None:
    """Check what servers demand: all outputs of a step's calls follow it at once."""
    waiting: set[str] = set()
    for message in sent:
        if message["role"] == "tool":
            waiting.remove(message["tool_call_id"])
            continue
        assert not waiting, sent
        waiting = {call["id"] for call in message.get("tool_calls") or ()}
    assert not waiting


@pytest.mark.parametrize(
    "items",
    [
        [called("a"), LOST, output("a")],
        [called("a"), user("Wait."), LOST, output("a"), user("So?")],
        [called("a"), called("b"), LOST, output("b"), user("And?"), output("a")],
        [called("a"), LOST, called("b"), output("a"), output("b")],
        [called("a"), output("a"), LOST, called("b"), output("b")],
        [*shell("a"), called("b"), LOST, output("b")],
        [custom("a"), LOST, custom_output("a")],
        [custom("a"), called("b"), custom_output("a"), LOST, output("b")],
    ],
)
async def test_message_never_parts_call_and_output(
    model: ChatModel, upstream: Any, items: list[Json]
) -> None:
    sent = await messages(model, upstream, [user("Go."), *items])
    check_order(sent)
    outputs = [each for each in items if each["type"].endswith("_output")]
    texts = [each for each in items if each["type"] == "message"]
    assert len([each for each in sent if each["role"] == "tool"]) == len(outputs)
    assert len([each for each in sent if each["role"] in ("user", "system")]) == 1 + len(texts)


async def test_every_order_of_a_step_is_accepted(model: ChatModel, upstream: Any) -> None:
    step = [called("a"), output("a"), custom("b"), custom_output("b"), LOST]
    for items in permutations(step):
        if items.index(step[0]) < items.index(step[1]) and items.index(step[2]) < items.index(step[3]):
            sent = await messages(model, upstream, [user("Go."), *items])
            check_order(sent)
            assert len(sent) in (5, 6)


async def test_custom_call_becomes_a_function_call(model: ChatModel, upstream: Any) -> None:
    items = [custom("a"), custom_output("a"), custom("b", name="odd name!"), custom_output("b", [IMAGE])]
    sent = await messages(model, upstream, [user("Go."), *items])
    calls = [call for each in sent for call in each.get("tool_calls") or ()]
    assert [call["id"] for call in calls] == ["a", "b"]
    assert [call["function"]["name"] for call in calls] == ["patch", "odd_name_"]
    assert [json.loads(call["function"]["arguments"]) for call in calls] == [{"input": "*** ü"}] * 2
    results = [each["content"] for each in sent if each["role"] == "tool"]
    assert results[0] == "Done."
    assert "follows in the next message" in results[1]
    assert sent[-1]["role"] == "user"


async def test_custom_call_without_output_is_left_out(upstream: Any) -> None:
    line = Upstream(upstream.url, None, retry=RetryPolicy(0))
    for body in (ChatModel(line), ResponsesModel(line, native=False)):
        upstream.chats({"content": "ok"}) if isinstance(body, ChatModel) else upstream.responds()
        await said(body, user("Go."), custom("left over"))  # type: ignore[arg-type]
    assert "left over" not in json.dumps(upstream.requests)
    await line.aclose()


def test_part_of_a_custom_output_without_form_is_refused() -> None:
    model = ChatModel(Upstream("http://127.0.0.1:1/v1", None))
    file = {"type": "input_file", "file_url": "https://example.com/a.pdf"}
    with pytest.raises(InvalidRequest, match="cannot represent it"):
        model.check_input([custom("a"), custom_output("a", [file])])
