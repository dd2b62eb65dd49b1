"""Conversations for other providers: the bodies are valid there, and nothing of the work is missing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from agent_kernel.conversion.anthropic import to_anthropic
from agent_kernel.conversion.chat import to_chat
from agent_kernel.store.records import ResponseRow
from tests.conversion.rows import PIXEL_URL, SHELL, answer, code, message, printed, shell, turn

FUNCTION = {
    "type": "function",
    "name": "ask_me",
    "parameters": {"type": "object", "properties": {"what": {"type": "string"}}},
}
CALLED = {
    "type": "function_call",
    "id": "fc",
    "call_id": "call_f",
    "name": "ask_me",
    "arguments": '{"what": "x"}',
}

WORK = [
    turn(
        1,
        [message("user", "Draw it.", {"type": "input_image", "image_url": PIXEL_URL})],
        [
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
            shell("ls", "false"),
            printed(("a.csv\n", "", 0), ("", "oh", 1)),
            code("plot()", "done\n", pictures=[PIXEL_URL]),
            answer("Drawn."),
        ],
        request={"instructions": "Be brief.", "tools": [SHELL, FUNCTION]},
    ),
    turn(2, [message("developer", "Files came back."), message("user", "And now?")], [answer("  ")]),
    turn(
        3,
        [message("user", "Ask me.")],
        [answer("I ask."), CALLED, shell("sleep 9", call_id="call_2")],
        status="incomplete",
        request={"instructions": "Be brief.", "tools": [SHELL, FUNCTION]},
    ),
]

LAST_CALL_OPEN = turn(4, [message("user", "Again.")], [{**CALLED, "call_id": "call_g"}])
ODD = {
    "work": WORK,
    "an open call at the end": [*WORK, LAST_CALL_OPEN],
    "only an answer": [turn(1, [], [answer("Hello.")])],
    "an approval that nobody gave": [
        turn(
            1,
            [message("user", "Remove it.")],
            [
                shell("rm x"),
                {
                    "type": "mcp_approval_request",
                    "id": "mcpr_1",
                    "server_label": "agent_kernel",
                    "name": "shell",
                    "arguments": "{}",
                    "agent_kernel": {"call_id": "call_1", "item_id": "sh_call_1"},
                },
            ],
        )
    ],
    "a rejected call": [
        turn(
            1,
            [message("user", "Go.")],
            [
                {
                    "type": "mcp_call",
                    "id": "mcp_1",
                    "server_label": "agent_kernel",
                    "name": "no such tool",
                    "arguments": "{broken",
                    "error": {"type": "x", "message": "There is no such tool."},
                },
                answer("Well."),
            ],
        )
    ],
    "files and audio": [
        turn(
            1,
            [
                message(
                    "user",
                    {
                        "type": "input_file",
                        "filename": "a.pdf",
                        "file_data": "data:application/pdf;base64,JVBERg==",
                    },
                    {"type": "input_file", "filename": "a.csv", "file_data": "data:text/csv;base64,YQ=="},
                    {"type": "input_audio", "input_audio": {"data": "YQ==", "format": "wav"}},
                    {"type": "input_image", "image_url": "https://example.org/a.png"},
                )
            ],
            [answer("Read.")],
        )
    ],
}


@pytest.mark.parametrize("rows", ODD.values(), ids=ODD)
def test_chat_body_fits_the_types_of_openai(rows: Sequence[ResponseRow]) -> None:
    body = {"model": "m", **to_chat(rows)}
    adapter = TypeAdapter(CompletionCreateParamsNonStreaming)
    adapter.validate_python(body)
    said = body["messages"]
    asked = [call["id"] for each in said for call in each.get("tool_calls") or ()]
    assert asked == [each["tool_call_id"] for each in said if each["role"] == "tool"]


def test_chat_has_instructions_calls_outputs_and_pictures() -> None:
    body = to_chat(WORK)
    said = body["messages"]
    assert said[0] == {"role": "system", "content": "Be brief."}
    assert said[1]["content"][1] == {"type": "image_url", "image_url": {"url": PIXEL_URL}}
    calls = [call["function"] for each in said for call in each.get("tool_calls") or ()]
    assert [(each["name"], json.loads(each["arguments"])) for each in calls] == [
        ("shell", {"commands": ["ls", "false"]}),
        ("code_interpreter", {"code": "plot()"}),
        ("ask_me", {"what": "x"}),
        ("shell", {"commands": ["sleep 9"]}),
    ]
    results = [each["content"] for each in said if each["role"] == "tool"]
    assert json.loads(results[0])[1]["stderr"] == "oh"
    assert "done" in results[1]
    shown = [part for each in said[2:] if isinstance(each["content"], list) for part in each["content"]]
    assert {"type": "image_url", "image_url": {"url": PIXEL_URL}} in shown
    assert {"role": "system", "content": "Files came back."} in said
    assert {each["function"]["name"] for each in body["tools"]} == {"shell", "ask_me"}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Text(_Strict):
    type: Literal["text"]
    text: str = Field(pattern=r"\S")


class _Base64(_Strict):
    type: Literal["base64"]
    media_type: Literal["image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf"]
    data: str


class _Url(_Strict):
    type: Literal["url"]
    url: str


class _PlainText(_Strict):
    type: Literal["text"]
    media_type: Literal["text/plain"]
    data: str


class _Attached(_Strict):
    type: Literal["image", "document"]
    source: _Base64 | _Url | _PlainText


class _Use(_Strict):
    type: Literal["tool_use"]
    id: str = Field(pattern=r"^[a-zA-Z0-9_-]+$")
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")
    input: dict[str, Any]


class _Result(_Strict):
    type: Literal["tool_result"]
    tool_use_id: str
    content: str = Field(min_length=1)


class _Message(_Strict):
    role: Literal["user", "assistant"]
    content: list[_Text | _Attached | _Use | _Result] = Field(min_length=1)


class _Schema(BaseModel):
    type: Literal["object"]


class _Tool(_Strict):
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")
    description: str = ""
    input_schema: _Schema


class _Body(_Strict):
    """What the Messages API accepts, as its reference and its SDK's types describe it."""

    system: str = Field(default="x", min_length=1)
    messages: list[_Message] = Field(min_length=1)
    tools: list[_Tool] = []


@pytest.mark.parametrize("rows", ODD.values(), ids=ODD)
def test_anthropic_body_fits_the_messages_api(rows: Sequence[ResponseRow]) -> None:
    body = to_anthropic(rows)
    _Body.model_validate(body)
    roles = [each["role"] for each in body["messages"]]
    assert roles == [("user", "assistant")[place % 2] for place in range(len(roles))]
    open_calls: list[str] = []
    for each in body["messages"]:
        results = [block["tool_use_id"] for block in each["content"] if block["type"] == "tool_result"]
        assert results == open_calls
        kinds = [block["type"] for block in each["content"]]
        assert kinds[: len(results)] == ["tool_result"] * len(results)
        open_calls = [block["id"] for block in each["content"] if block["type"] == "tool_use"]
    assert not open_calls


def test_anthropic_has_system_images_and_developers_words() -> None:
    body = to_anthropic(WORK)
    assert body["system"] == "Be brief."
    blocks = [block for each in body["messages"] for block in each["content"]]
    images = [block["source"] for block in blocks if block["type"] == "image"]
    data = PIXEL_URL.partition(",")[2]
    assert images == [{"type": "base64", "media_type": "image/png", "data": data}] * 2
    assert {"type": "text", "text": "<developer>\nFiles came back.\n</developer>"} in blocks
    assert {tool["name"] for tool in body["tools"]} == {"shell", "ask_me"}


def test_anthropic_says_what_it_leaves_out() -> None:
    blocks = to_anthropic(ODD["files and audio"])["messages"][0]["content"]
    texts = [block["text"] for block in blocks if block["type"] == "text"]
    assert len(texts) == 1
    assert re.search(r"Audio is left out", texts[0])


def test_anthropic_gets_the_text_of_a_text_file() -> None:
    blocks = to_anthropic(ODD["files and audio"])["messages"][0]["content"]
    sources = [block["source"] for block in blocks if block["type"] == "document"]
    assert {"type": "text", "media_type": "text/plain", "data": "a"} in sources


def test_unknown_tools_of_a_stored_request_are_left_out() -> None:
    request: Mapping[str, Any] = {"tools": [{"type": "of another version"}, SHELL]}
    rows = [turn(1, [message("user", "Go.")], [answer("Gone.")], request=request)]
    assert [each["function"]["name"] for each in to_chat(rows)["tools"]] == ["shell"]
