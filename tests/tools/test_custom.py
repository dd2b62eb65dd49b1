"""Custom tools: every model calls them, and clients get the API's items and events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.turns.request import read_request
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from tests.runtime.played import Upstream, call, runtime_on
from tests.tools.accumulated import check_stream
from tests.tools.test_toy import Json, events_of

pytestmark = pytest.mark.bubblewrap

GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": 'start: "yes"'}
VOTE: Json = {"type": "custom", "name": "vote", "description": "Vote.", "format": GRAMMAR}
GROUP = {"type": "namespace", "name": "hall", "description": "A hall.", "tools": [VOTE]}
ITEM = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c1", "name": "vote", "input": "yes"}
ORDER = [
    "output_item.added",
    "custom_tool_call_input.delta",
    "custom_tool_call_input.done",
    "output_item.done",
]


@pytest.fixture
async def running(
    upstream: Upstream, bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> AsyncIterator[LocalRuntime]:
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path) as runtime:
        yield runtime


def calls(upstream: Upstream, model: str, name: str) -> None:
    """Let the upstream call the tool in the form that it got."""
    if model.startswith("chat"):
        upstream.says(call(0, name, {"input": "yes"}, "c1"), finish="tool_calls")
    elif model.startswith("responses"):
        function = {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "c1",
            "name": name,
            "status": "completed",
        }
        upstream.streams([{**function, "arguments": '{"input": "yes"}'}], in_pieces=True)
    else:
        upstream.responds({**ITEM, "name": name})


def answers(upstream: Upstream, model: str) -> None:
    if model.startswith("chat"):
        upstream.says({"content": "Done."})
    else:
        text = {"type": "output_text", "text": "Done.", "annotations": []}
        message = {"type": "message", "id": "m1", "role": "assistant", "status": "completed"}
        upstream.responds({**message, "content": [text]})


@pytest.mark.parametrize("group", [None, "hall"])
@pytest.mark.parametrize("model", ["chat/m", "responses/m"])
async def test_two_turns_with_any_model(
    upstream: Upstream, running: LocalRuntime, model: str, group: str | None
) -> None:
    tools = [GROUP if group else VOTE]
    flat = "hall__vote" if group else "vote"
    calls(upstream, model, flat)
    events = await events_of(running, "Go.", model=model, tools=tools)
    (sent,) = upstream.requests[0]["tools"]
    sent = sent.get("function") or sent
    assert (sent["name"], sent["parameters"]["required"]) == (flat, ["input"])
    assert GRAMMAR["definition"] in sent["description"]
    ((item, of_item),) = check_stream(events)
    assert [each["type"].removeprefix("response.") for each in of_item] == ORDER
    response = events[-1]["response"]
    assert (item["name"], item["input"], item.get("namespace")) == ("vote", "yes", group)
    assert response["tools"] == tools
    answers(upstream, model)
    output = {"type": "custom_tool_call_output", "call_id": "c1", "output": "counted"}
    request = {"model": model, "tools": tools, "previous_response_id": response["id"]}
    await events_of(running, [output], **request)
    body = upstream.requests[-1]
    if model.startswith("chat"):
        _, made, told = body["messages"]
        (function,) = made["tool_calls"]
        assert json.loads(function["function"]["arguments"]) == {"input": "yes"}
        assert told["content"] == "counted"
    else:
        _, made, told = body["input"]
        assert (made["type"], made["name"], told["type"]) == ("function_call", flat, "function_call_output")


async def test_server_that_has_them_gets_them_as_they_are(upstream: Upstream, running: LocalRuntime) -> None:
    from agent_kernel.models.conversation import CallIds
    from agent_kernel.models.offered import Offered
    from agent_kernel.models.reading.responses_stream import ResponsesReader
    from agent_kernel.protocol.sse import own_event

    entries = read_request({"input": "x", "tools": [VOTE]}).tools
    offered = Offered(entries, native=True)
    assert offered.specs() == [VOTE]
    assert offered.choice({"type": "custom", "name": "vote"}) == {"type": "custom", "name": "vote"}
    reader = ResponsesReader(CallIds([]), offered, lambda _, blob: blob, lambda _: ValueError())  # type: ignore[arg-type, return-value]
    place = {"output_index": 0, "sequence_number": 0}
    written = {"type": "response.custom_tool_call_input.delta", "item_id": "ctc_1", "delta": "ye"}
    deltas = [
        delta
        for event in (
            {"type": "response.output_item.added", "item": {**ITEM, "input": ""}},
            written,
            {"type": "response.output_item.done", "item": ITEM},
        )
        for delta in reader.read(own_event({**event, **place}))
    ]
    assert [(each.name, getattr(each, "text", None) or each.parts) for each in deltas] == [  # type: ignore[union-attr]
        ("vote", "ye"),
        ("vote", ("yes",)),
    ]


@pytest.mark.parametrize(
    "form", [{"type": "xml"}, 3, {**GRAMMAR, "syntax": "ebnf"}, {"type": "grammar", "syntax": "lark"}]
)
def test_malformed_format_is_refused(form: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_request({"input": "x", "tools": [{**VOTE, "format": form}]})
    assert caught.value.param == "tools[0].format"


def test_choice_of_a_custom_tool_is_taken() -> None:
    turn = read_request({"input": "x", "tools": [VOTE], "tool_choice": {"type": "custom", "name": "vote"}})
    assert turn.settings["tool_choice"] == {"type": "custom", "name": "vote"}
