"""Turns whose model is an upstream: the client's functions, and an upstream that dies on the way."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.items import to_json
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from tests.runtime.played import SHELL, Turn, Upstream, call, items, runtime_on, turns_of

pytestmark = pytest.mark.bubblewrap

FUNCTION = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}


@pytest.fixture
async def turn(
    upstream: Upstream, bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> AsyncIterator[Turn]:
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path) as runtime:
        yield turns_of(runtime)


async def test_a_function_is_the_clients_to_call(upstream: Upstream, turn: Turn) -> None:
    upstream.says(call(0, "weather", {"city": "Bern"}), finish="tool_calls")
    first = await turn("What is the weather?", tools=[FUNCTION])
    assert first.status == "completed"
    (asked,) = items(first)
    assert (asked["type"], asked["name"]) == ("function_call", "weather")
    assert json.loads(asked["arguments"]) == {"city": "Bern"}

    with pytest.raises(InvalidRequest, match=f"No tool output found for function_call {asked['call_id']}"):
        await turn("And?", previous_response_id=first.id)

    upstream.says({"content": "Sunny."})
    answer = {"type": "function_call_output", "call_id": asked["call_id"], "output": "sun"}
    second = await turn([answer], previous_response_id=first.id, tools=[FUNCTION])
    assert second.output_text == "Sunny."
    roles = [message["role"] for message in upstream.requests[-1]["messages"]]
    assert roles == ["user", "assistant", "tool"]


async def test_shell_and_function_in_one_step(upstream: Upstream, turn: Turn) -> None:
    upstream.says(call(0, "shell", {"commands": ["echo done"]}), call(1, "weather", {}), finish="tool_calls")
    response = await turn("Both.", tools=[SHELL, FUNCTION])
    assert response.status == "completed"
    assert [item["type"] for item in items(response)] == ["shell_call", "function_call", "shell_call_output"]
    assert items(response)[2]["output"][0]["stdout"] == "done\n"
    assert len(upstream.requests) == 1  # it is the client's turn now


async def test_a_forced_tool_is_forced_once(upstream: Upstream, turn: Turn) -> None:
    upstream.says(call(0, "shell", {"commands": ["true"]}), finish="tool_calls")
    upstream.says({"content": "Done."})
    response = await turn("Go.", tools=[SHELL], tool_choice="required")
    assert response.output_text == "Done."
    assert upstream.requests[0]["tool_choice"] == "required"
    assert upstream.requests[1].get("tool_choice", "auto") == "auto"


async def test_an_upstream_that_dies_loses_nothing(upstream: Upstream, turn: Turn) -> None:
    upstream.says(call(0, "shell", {"commands": ["echo kept > file; X=7"]}), finish="tool_calls")
    upstream.says({"content": "I have be"}, whole=False)
    broken = await turn("Go.", tools=[SHELL])
    assert broken.status == "failed"
    assert [item["type"] for item in items(broken)] == ["shell_call", "shell_call_output", "message"]
    assert items(broken)[2]["status"] == "incomplete"

    upstream.says(call(0, "shell", {"commands": ["cat file; echo $X"]}, "call_2"), finish="tool_calls")
    upstream.says({"content": "All there."})
    later = await turn("Go on.", previous_response_id=broken.id, tools=[SHELL])
    assert items(later)[1]["output"][0]["stdout"] == "kept\n7\n"
    assert later.output_text == "All there."


async def test_malformed_output_of_a_model_is_said_and_goes_on(upstream: Upstream, turn: Turn) -> None:
    upstream.says(call(0, "shell", {"nonsense": 1}), finish="tool_calls")
    upstream.says({"content": "I cannot."})
    response = await turn("Go.", tools=[SHELL])
    assert response.status == "completed"
    assert "commands" in upstream.requests[1]["messages"][-1]["content"]
    upstream.says({"content": "Better."})
    later = await turn("Again.", previous_response_id=response.id, tools=[SHELL])
    assert later.output_text == "Better."


async def test_half_a_character_is_joined_or_replaced(upstream: Upstream, turn: Turn) -> None:
    upstream.says({"content": "a\ud83d"}, {"content": "\ude00b"})
    response = await turn("Say \ud800.", metadata={"k": "\udfff"})
    assert response.output_text == "a\U0001f600b"
    assert response.metadata == {"k": "\ufffd"}
    assert upstream.requests[0]["messages"][-1]["content"] == "Say \ufffd."


async def test_an_answer_cut_at_its_limit_is_incomplete(upstream: Upstream, turn: Turn) -> None:
    upstream.says({"content": "Too lo"}, finish="length")
    response = await turn("Go.", max_output_tokens=3)
    assert response.status == "incomplete"
    assert to_json(response)["incomplete_details"] == {"reason": "max_output_tokens"}


async def test_an_upstream_asked_again_runs_no_command_twice(upstream: Upstream, turn: Turn) -> None:
    upstream.says(call(0, "shell", {"commands": ["echo once >> file"]}), finish="tool_calls")
    upstream.says(whole=False)  # nothing but the headers: the connection is gone
    upstream.says(call(0, "shell", {"commands": ["cat file"]}, "call_2"), finish="tool_calls")
    upstream.says({"content": "Once."})
    response = await turn("Go.", tools=[SHELL])
    assert response.status == "completed"
    assert [item["output"][0]["stdout"] for item in items(response) if "output" in item] == ["", "once\n"]
    assert len(upstream.requests) == 4
    assert upstream.requests[1] == upstream.requests[2]


async def test_a_call_that_is_whole_in_an_answer_that_is_not_is_never_run(
    upstream: Upstream, turn: Turn
) -> None:
    upstream.says(call(0, "shell", {"commands": ["touch ran"]}), whole=False)
    broken = await turn("Go.", tools=[SHELL])
    assert broken.status == "failed"
    assert broken.error is not None
    assert broken.error.message.startswith(f"The model at {upstream.url} broke off in the middle")
    assert broken.error.message.endswith("Everything up to that point is kept. Send the request again.")
    assert len(upstream.requests) == 1

    upstream.says(call(0, "shell", {"commands": ["ls"]}, "call_2"), finish="tool_calls")
    upstream.says({"content": "Nothing."})
    later = await turn("Go on.", previous_response_id=broken.id, tools=[SHELL])
    assert items(later)[1]["output"][0]["stdout"] == ""


async def test_an_upstream_that_wants_fewer_requests_is_named(upstream: Upstream, turn: Turn) -> None:
    upstream.refuses(429, "Too many requests.", {"Retry-After": "900"})
    response = await turn("Go.", tools=[SHELL])
    assert response.status == "failed"
    assert response.error is not None
    assert response.error.code == "rate_limit_exceeded"
    assert response.error.message == (
        f"The model at {upstream.url} cannot answer now (429): Too many requests. Try again in 900 seconds."
    )
