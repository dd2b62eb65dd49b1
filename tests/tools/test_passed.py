"""Tools that pass through to a server of the Responses API, with their items; others cannot have them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.items import to_json
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from tests.runtime.played import Turn, Upstream, items, runtime_on, turns_of

pytestmark = pytest.mark.bubblewrap

TOOLS: dict[str, dict[str, Any]] = {
    "local_shell": {"type": "local_shell"},
    "image_generation": {"type": "image_generation", "quality": "low", "partial_images": 2},
}
SHELL_CALL = {
    "type": "local_shell_call",
    "id": "lsh_1",
    "call_id": "call_1",
    "status": "completed",
    "action": {"type": "exec", "command": ["ls"], "env": {}},
}
CALLS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "local_shell": (SHELL_CALL, {"type": "local_shell_call_output", "id": "call_1", "output": "a.txt"}),
}
PICTURE = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "aGk="}
MESSAGE = {
    "type": "message",
    "id": "m",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Done", "annotations": []}],
}


@pytest.fixture
async def turn(
    upstream: Upstream, bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> AsyncIterator[Turn]:
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path) as runtime:
        yield turns_of(runtime)


@pytest.mark.parametrize("kind", TOOLS)
async def test_responses_upstream_gets_the_tool(upstream: Upstream, turn: Turn, kind: str) -> None:
    upstream.responds(MESSAGE)
    choice = None if kind == "local_shell" else {"type": kind}
    response = to_json(await turn("Go.", model="responses/m", tools=[TOOLS[kind]], tool_choice=choice))
    assert upstream.requests[-1]["tools"] == [TOOLS[kind]]
    assert upstream.requests[-1].get("tool_choice") == choice
    assert response["tools"] == [TOOLS[kind]]


@pytest.mark.parametrize("kind", TOOLS)
async def test_other_model_cannot_have_the_tool(upstream: Upstream, turn: Turn, kind: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await turn("Go.", model="chat/m", tools=[TOOLS[kind]])
    assert (caught.value.param, caught.value.request_code) == ("tools[0].type", "unsupported_tool")
    assert kind in str(caught.value)
    assert "Or: " in str(caught.value)
    assert not upstream.requests


@pytest.mark.parametrize("kind", CALLS)
async def test_client_answers_the_call(upstream: Upstream, turn: Turn, kind: str) -> None:
    call, output = CALLS[kind]
    upstream.responds(call)
    first = await turn("Go.", model="responses/m", tools=[TOOLS[kind]], tool_choice="required")
    (given,) = items(first)
    assert {name: given[name] for name in call if name != "id"} == {
        name: call[name] for name in call if name != "id"
    }
    assert "agent_kernel" not in to_json(first)  # no notice
    upstream.responds(MESSAGE)
    await turn([output], model="responses/m", tools=[TOOLS[kind]], previous_response_id=first.id)
    sent_call, sent_output = upstream.requests[-1]["input"][1:]
    assert sent_call == call
    assert {name: sent_output[name] for name in output} == output


@pytest.mark.parametrize("kind", CALLS)
async def test_call_without_an_answer_is_not_sent_back(upstream: Upstream, turn: Turn, kind: str) -> None:
    upstream.responds(CALLS[kind][0])
    first = await turn("Go.", model="responses/m", tools=[TOOLS[kind]])
    upstream.responds(MESSAGE)
    await turn("On.", model="responses/m", previous_response_id=first.id)
    assert [each["role"] for each in upstream.requests[-1]["input"]] == ["user", "user"]


async def test_call_that_was_not_offered_is_rejected_too(upstream: Upstream, turn: Turn) -> None:
    upstream.responds(SHELL_CALL)
    upstream.responds(MESSAGE)
    response = await turn("Go.", model="responses/m")
    assert [item["type"] for item in items(response)] == ["local_shell_call", "mcp_call", "message"]


async def test_picture_goes_back_in_the_next_turn(upstream: Upstream, turn: Turn) -> None:
    upstream.responds(PICTURE, MESSAGE)
    tools = [TOOLS["image_generation"]]
    first = await turn("Draw.", model="responses/m", tools=tools)
    assert items(first)[0]["result"] == "aGk="
    upstream.responds(MESSAGE)
    await turn("Bluer.", model="responses/m", tools=tools, previous_response_id=first.id)
    assert upstream.requests[-1]["input"][1] == PICTURE


async def test_function_with_the_name_of_a_tool_is_rejected(upstream: Upstream, turn: Turn) -> None:
    called = {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "c1",
        "name": "local_shell",
        "arguments": "{}",
    }
    upstream.responds(called)
    upstream.responds(MESSAGE)
    response = await turn("Go.", model="responses/m", tools=[TOOLS["local_shell"]])
    assert [item["type"] for item in items(response)] == ["mcp_call", "message"]


async def test_mask_in_a_file_of_this_server_is_refused(turn: Turn) -> None:
    tool = {"type": "image_generation", "input_image_mask": {"file_id": "file-1"}}
    with pytest.raises(InvalidRequest) as caught:
        await turn("Draw.", model="responses/m", tools=[tool])
    assert caught.value.param == "tools[0].input_image_mask.file_id"
