"""Requests to the Messages API: settings, marks for the cache, parts, and what is refused."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.models.anthropic.model import AnthropicModel
from agent_kernel.models.base import ModelRequest, check_request
from agent_kernel.protocol.deltas import Notice
from agent_kernel.tools.request import read_tools
from tests.models.anthropic.messages_server import MessagesServer, model_info
from tests.models.anthropic.shapes import text, use
from tests.models.anthropic.test_messages import ADD, ASKED, items_of, said

DOT = "data:image/png;base64,AA=="
PDF = "data:application/pdf;base64,AA=="
TABLE = "data:text/csv;base64," + base64.b64encode(b"a,b\n1,2\n").decode()
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}


async def sent(
    messages: MessagesServer, model: AnthropicModel, *items: Any, tools: bool = True, **settings: Any
) -> dict[str, Any]:
    """Ask with these settings, and return the request that the server got."""
    messages.says(text("Yes."))
    functions = [ADD] if tools else []
    await said(model, *items, functions=functions, shell=tools, settings=settings)
    return messages.requests[-1]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {}),
        ({"tool_choice": "auto"}, {}),
        ({"tool_choice": "none"}, {"tool_choice": {"type": "none"}}),
        ({"tool_choice": "required"}, {"tool_choice": {"type": "any"}}),
        ({"tool_choice": {"type": "shell"}}, {"tool_choice": {"type": "tool", "name": "shell"}}),
        (
            {"tool_choice": {"type": "function", "name": "add"}},
            {"tool_choice": {"type": "tool", "name": "add"}},
        ),
        (
            {"parallel_tool_calls": False},
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        ),
        ({"max_output_tokens": 500}, {"max_tokens": 500}),
        ({"max_output_tokens": 10**6}, {"max_tokens": 64_000}),
        (
            {"reasoning": {"effort": "xhigh", "summary": "auto"}},
            {
                "output_config": {"effort": "high"},
                "thinking": {"type": "adaptive", "display": "summarized"},
            },
        ),
        ({"reasoning": {"effort": "minimal"}}, {"output_config": {"effort": "low"}}),
        ({"reasoning": {"effort": "none"}}, {"thinking": {"type": "disabled"}}),
        (
            {"reasoning": {"effort": "high"}, "tool_choice": "required"},
            {"thinking": {"type": "disabled"}},
        ),
        ({"service_tier": "default"}, {"service_tier": "standard_only"}),
        ({"service_tier": "priority"}, {"service_tier": "auto"}),
        ({"safety_identifier": "u1"}, {"metadata": {"user_id": "u1"}}),
        ({"temperature": 1, "top_p": 1.0}, {}),
    ],
)
async def test_setting_has_its_form(
    messages: MessagesServer, model: AnthropicModel, settings: dict[str, Any], expected: dict[str, Any]
) -> None:
    plain = await sent(messages, model)
    assert {"tool_choice", "thinking", "output_config", "service_tier", "metadata"}.isdisjoint(plain)
    request = await sent(messages, model, **settings)
    assert {name: request.get(name) for name in expected} == expected
    assert not {"temperature", "top_p"} & request.keys()


async def test_budget_of_thinking_for_older_models(messages: MessagesServer, model: AnthropicModel) -> None:
    info = model_info("claude-test")
    info["capabilities"]["thinking"]["types"] = {
        "enabled": {"supported": True},
        "adaptive": {"supported": False},
    }
    info["capabilities"]["effort"] = {"supported": False}
    messages.models = [info]
    request = await sent(messages, model, reasoning={"effort": "high"}, max_output_tokens=9000)
    assert request["thinking"] == {"type": "enabled", "budget_tokens": 8999}
    assert "output_config" not in request


async def test_schema_of_the_answer_is_in_the_api_s_form(
    messages: MessagesServer, model: AnthropicModel
) -> None:
    wanted = {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}
    request = await sent(messages, model, text=wanted)
    schema = request["output_config"]["format"]["schema"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["n"] == {"type": "integer", "description": "{minimum: 1}"}


@pytest.mark.parametrize(
    ("settings", "param", "code"),
    [
        ({"temperature": 0.2}, "temperature", "unsupported_parameter"),
        ({"top_p": 0.5}, "top_p", "unsupported_parameter"),
        ({"text": {"format": {"type": "json_object"}}}, "text.format.type", "unsupported_value"),
        (
            {"text": {"format": {"type": "json_schema", "schema": {"properties": {}}}}},
            "text.format.schema",
            "unsupported_value",
        ),
    ],
)
def test_setting_without_a_form_is_refused(
    model: AnthropicModel, settings: dict[str, Any], param: str, code: str
) -> None:
    with pytest.raises(InvalidRequest, match="Models of Anthropic's API") as caught:
        check_request(model, [ASKED], settings)
    assert (caught.value.param, caught.value.request_code) == (param, code)


async def test_cache_is_marked_at_tools_and_last_turns(
    messages: MessagesServer, model: AnthropicModel
) -> None:
    mark = {"type": "ephemeral", "ttl": "1h"}
    asked = [ASKED, {"role": "assistant", "content": "Ten."}] * 3
    request = await sent(messages, model, *asked, ASKED, prompt_cache_retention="24h")
    assert request["tools"][-1]["cache_control"] == mark
    marked = ["cache_control" in each["content"][-1] for each in request["messages"]]
    assert marked == [False, False, False, False, True, False, True]


HOSTED = [
    {"type": "shell"},
    {"type": "code_interpreter", "container": {"type": "auto"}},
    {"type": "apply_patch"},
    {"type": "file_search", "vector_store_ids": ["vs_1"]},
    {"type": "custom", "name": "sql", "description": "Runs SQL."},
    {"type": "function", **ADD},
]


async def test_tools_of_all_kinds_are_offered(messages: MessagesServer, model: AnthropicModel) -> None:
    messages.says(use("toolu_1", "sql", {"input": "select 1"}), stop="tool_use")
    request = ModelRequest("claude-test", [ASKED], tools=read_tools(HOSTED))
    made = items_of([delta async for delta in model.stream(request)])
    offered = {each["name"]: each for each in messages.requests[0]["tools"]}
    assert list(offered) == ["shell", "code_interpreter", "apply_patch", "file_search", "sql", "add"]
    assert all(each["input_schema"]["properties"] and each["description"] for each in offered.values())
    assert [(each["type"], each["input"]) for each in made] == [("custom_tool_call", "select 1")]

    output = {"type": "custom_tool_call_output", "call_id": "toolu_1", "output": "1"}
    messages.says(text("One."))
    request = ModelRequest("claude-test", [ASKED, *made, output], tools=read_tools(HOSTED))
    assert [each async for each in model.stream(request)]
    _, called, answered = messages.requests[1]["messages"]
    assert called["content"] == [use("toolu_1", "sql", {"input": "select 1"})]
    assert answered["content"][0]["content"] == "1"


async def test_earlier_calls_are_sent_with_their_tools(
    messages: MessagesServer, model: AnthropicModel
) -> None:
    call = {"type": "function_call", "call_id": "a.b", "name": "add", "arguments": '{"a": 1}'}
    other = {**call, "call_id": "a_b", "arguments": "[" * 500 + "]" * 500}
    outputs = [{"type": "function_call_output", "call_id": each, "output": ""} for each in ("a.b", "a_b")]
    request = await sent(messages, model, ASKED, call, other, *outputs, tools=False)
    assert [each["name"] for each in request["tools"]] == ["add"]
    assert request["tool_choice"] == {"type": "none"}
    uses = [block["id"] for block in request["messages"][1]["content"]]
    assert len(set(uses)) == 2


async def test_roles_are_those_of_the_api(messages: MessagesServer, model: AnthropicModel) -> None:
    items = [
        {"role": "developer", "content": "Be brief."},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": " "},
        {"role": "system", "content": "Be polite."},
        {"role": "assistant", "content": "Yes?"},
    ]
    request = await sent(messages, model, *items)
    assert request["system"][0]["text"] == "Be brief."
    said_by = [(each["role"], each["content"][0]["text"]) for each in request["messages"]]
    assert said_by == [
        ("user", "[The conversation begins here.]"),
        ("assistant", "Hello."),
        ("user", "<developer>\nBe polite.\n</developer>"),
        ("assistant", "Yes?"),
        ("user", "[Continue.]"),
    ]


PARTS = [
    ({"type": "input_image", "image_url": DOT}, ("image", "base64")),
    ({"type": "input_image", "image_url": "https://example.org/a.png"}, ("image", "url")),
    ({"type": "input_file", "file_data": PDF, "filename": "a.pdf"}, ("document", "base64")),
    ({"type": "input_file", "file_data": "AA==", "filename": "a.PDF"}, ("document", "base64")),
    ({"type": "input_file", "file_url": "https://example.org/a.pdf?x=1"}, ("document", "url")),
    ({"type": "input_file", "file_data": TABLE, "filename": "a.csv"}, ("document", "text")),
]


@pytest.mark.parametrize(("part", "expected"), PARTS)
async def test_part_of_message_and_of_output(
    messages: MessagesServer, model: AnthropicModel, part: dict[str, Any], expected: tuple[str, str]
) -> None:
    message = {"type": "message", "role": "user", "content": [part]}
    call = {"type": "function_call", "call_id": "c", "name": "add", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": [part]}
    model.check_input([message, output])
    request = await sent(messages, model, message, call, output)
    asked, _, answered = request["messages"]
    for block in (asked["content"][0], answered["content"][0]["content"][0]):
        assert (block["type"], block["source"]["type"]) == expected


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_image", "image_url": "data:image/tiff;base64,AA=="},
        {"type": "input_image", "image_url": "http://example.org/a.png"},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        {"type": "input_file", "file_data": "data:application/zip;base64,AA==", "filename": "a.zip"},
        {"type": "input_file", "file_data": "data:text/plain;base64,/w==", "filename": "a.txt"},
        {"type": "input_file", "file_url": "https://example.org/a.zip"},
    ],
)
async def test_part_without_a_form_is_refused(
    messages: MessagesServer, model: AnthropicModel, part: dict[str, Any]
) -> None:
    message = {"type": "message", "role": "user", "content": [part]}
    with pytest.raises(InvalidRequest, match="Anthropic's Messages"):
        model.check_input([message])
    request = await sent(messages, model, message)
    assert request["messages"][0]["content"][0]["text"].endswith("cannot represent it.]")


async def test_refused_reasoning_is_left_out_and_told(
    messages: MessagesServer, model: AnthropicModel
) -> None:
    messages.models = None
    messages.refuses(400, "invalid_request_error", "thinking.type: adaptive is not supported")
    messages.says(text("Yes."))
    deltas = await said(model, settings={"reasoning": {"effort": "high"}})
    assert [type(each) for each in deltas[-1:]] == [Notice]
    first, second = messages.requests
    assert "thinking" in first
    assert not {"thinking", "output_config"} & second.keys()
    await sent(messages, model, reasoning={"effort": "high"})
    assert "thinking" not in messages.requests[-1]
    assert messages.requests[-1]["max_tokens"] == 8192
