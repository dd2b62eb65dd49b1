"""Conversations with a model of the Messages API: what is sent, and what becomes of the answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent_kernel.models.anthropic.model import AnthropicModel
from agent_kernel.protocol.assembler import Assembler
from agent_kernel.protocol.calls import CallDone
from agent_kernel.protocol.deltas import (
    ModelDelta,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    Truncated,
    Usage,
)
from agent_kernel.protocol.items import to_json
from agent_kernel.protocol.response import new_response
from tests.models.anthropic.messages_server import KEY, MessagesServer
from tests.models.anthropic.shapes import redacted, text, thinking, use
from tests.tools.made import model_request

ASKED = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "How many?"}]}
ADD = {
    "name": "add",
    "description": "Adds.",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
}


async def said(model: AnthropicModel, *items: Any, **fields: Any) -> list[ModelDelta]:
    request = model_request("claude-test", items or [ASKED], **fields)
    return [delta async for delta in model.stream(request)]


def items_of(deltas: list[ModelDelta]) -> list[dict[str, Any]]:
    """Return the output items that the answer becomes."""
    assembler = Assembler(new_response({}, id="r", model="m", tools=[], created_at=0))
    assembler.begin()
    for delta in deltas:
        assembler.feed(delta)
    assembler.end_step()
    return [to_json(item) for item in assembler.response.output]


def answer_to(item: dict[str, Any], output: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": item["call_id"], "output": output}


async def test_text_is_streamed_and_tokens_are_counted(
    messages: MessagesServer, model: AnthropicModel
) -> None:
    messages.says(text("It is 344 \U0001f427."))
    deltas = await said(model, instructions="Be brief.")
    assert "".join(each.text for each in deltas if isinstance(each, TextDelta)) == "It is 344 \U0001f427."
    assert sum(isinstance(each, TextDelta) for each in deltas) == 2
    counted = Usage(2312, 40, cached_tokens=2000, reasoning_tokens=7, service_tier="default")
    assert deltas[-1] == counted
    [sent], [headers] = messages.requests, messages.headers
    assert sent["model"] == "claude-test"
    assert sent["stream"] is True
    assert sent["max_tokens"] == 32_000
    assert sent["system"] == [
        {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
    ]
    assert [each["name"] for each in sent["tools"]] == ["shell"]
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["anthropic-version"] >= "2023-06-01"


async def test_thinking_and_parallel_calls_go_back_unchanged(
    messages: MessagesServer, model: AnthropicModel
) -> None:
    blocks = [
        thinking("First, list the files. "),
        redacted("EjQ="),
        text("Let me look."),
        use("toolu_1", "add", {"a": 1}),
        use("toolu_2", "shell", {"commands": ["ls", "wc -l *"]}),
        use("toolu_3", "add", {}),
    ]
    messages.says(*blocks, stop="tool_use")
    deltas = await said(model, functions=[ADD])
    made = items_of(deltas)
    kinds = ["reasoning", "reasoning", "message", "function_call", "shell_call", "function_call"]
    assert [each["type"] for each in made] == kinds
    assert made[0]["summary"] == [{"type": "summary_text", "text": "First, list the files. "}]
    assert made[4]["action"]["commands"] == ["ls", "wc -l *"]
    assert [made[n]["arguments"] for n in (3, 5)] == ['{"a": 1}', "{}"]

    printed = {"stdout": "2", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}
    shell = {"type": "shell_call_output", "call_id": "toolu_2", "output": [printed]}
    messages.says(text("Done."))
    outputs = [answer_to(made[5], "3"), shell, answer_to(made[3], [{"type": "input_text", "text": "1"}])]
    await said(model, ASKED, *made, *outputs, functions=[ADD])
    _, answered, results = messages.requests[1]["messages"]
    assert answered == {"role": "assistant", "content": blocks}
    told = {each["tool_use_id"]: each["content"] for each in results["content"]}
    assert told == {"toolu_1": "1", "toolu_2": json.dumps([printed]), "toolu_3": "3"}


async def test_thinking_of_another_model_is_not_sent(messages: MessagesServer, model: AnthropicModel) -> None:
    messages.says(thinking("Well."), text("Yes."))
    made = items_of(await said(model))
    messages.models = [*(messages.models or []), {**(messages.models or [{}])[0], "id": "claude-other"}]
    messages.says(text("No."))
    request = model_request("claude-other", [ASKED, *made, ASKED])
    assert [each async for each in model.stream(request) if isinstance(each, TextDelta)] == [TextDelta("No.")]
    assert [each["content"][0]["type"] for each in messages.requests[1]["messages"]] == ["text"] * 3


@pytest.mark.parametrize(
    ("stop", "cut", "expected"),
    [
        ("end_turn", None, None),
        ("stop_sequence", None, None),
        ("max_tokens", 5, "max_output_tokens"),
        ("model_context_window_exceeded", 5, "max_output_tokens"),
        ("refusal", 5, "content_filter"),
    ],
)
async def test_reason_of_the_end_is_told(
    messages: MessagesServer, model: AnthropicModel, stop: str, cut: int | None, expected: str | None
) -> None:
    messages.says(text("It is 344."), stop=stop, cut=cut)
    deltas = await said(model)
    assert [each.reason for each in deltas if isinstance(each, Truncated)] == [expected] * bool(expected)
    assert any(isinstance(each, Usage) for each in deltas)


@pytest.mark.parametrize("name", ["shell", "add"])
@pytest.mark.parametrize("cut", [0, 14])
async def test_call_that_was_cut_off_does_not_run(
    messages: MessagesServer, model: AnthropicModel, name: str, cut: int
) -> None:
    given = {"commands": ["rm -r build"], "a": 1}
    messages.says(use("toolu_1", name, given), stop="max_tokens", cut=cut)
    deltas = await said(model, functions=[ADD])
    assert not any(isinstance(each, CallDone) for each in deltas)
    assert Truncated("max_output_tokens") in deltas
    assert all(each["status"] == "incomplete" for each in items_of(deltas))


async def test_refusal_says_why(messages: MessagesServer, model: AnthropicModel) -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "This could enable harm."}
    messages.says(text("Sure, "), stop="refusal", details=details)
    deltas = await said(model)
    assert RefusalDelta("This could enable harm.") in deltas
    content = items_of(deltas)[0]["content"]
    assert [each.get("text") or each.get("refusal") for each in content] == [
        "Sure, ",
        "This could enable harm.",
    ]


async def test_redacted_thinking_alone_is_an_item(messages: MessagesServer, model: AnthropicModel) -> None:
    messages.says(redacted("EjQ="), text("Yes."))
    deltas = await said(model)
    assert not any(isinstance(each, ReasoningDelta) for each in deltas)
    assert [each["type"] for each in items_of(deltas)] == ["reasoning", "message"]
