"""Tools that come as items of the conversation, and flat names that would be those of other functions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.turns.request import read_request
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from tests.runtime.played import Turn, Upstream, call, items, runtime_on, turns_of

pytestmark = pytest.mark.bubblewrap

EMPTY = {"type": "object", "properties": {}}
FIND: dict[str, Any] = {
    "type": "function",
    "name": "find",
    "description": "Find.",
    "parameters": EMPTY,
    "strict": True,
}
NOTE: dict[str, Any] = {"type": "custom", "name": "note", "description": "Note."}
CRM: dict[str, Any] = {"type": "namespace", "name": "crm", "description": "Customers.", "tools": [FIND, NOTE]}
HELLO = {"type": "message", "role": "user", "content": "Go."}


def additional(*tools: dict[str, Any]) -> dict[str, Any]:
    return {"type": "additional_tools", "role": "developer", "tools": list(tools)}


@pytest.fixture
async def turn(
    upstream: Upstream, bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> AsyncIterator[Turn]:
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path) as runtime:
        yield turns_of(runtime)


def offered(upstream: Upstream) -> dict[str, str]:
    """The functions of the last request with their descriptions."""
    functions = [tool["function"] for tool in upstream.requests[-1].get("tools", ())]
    return {each["name"]: each["description"] for each in functions}


async def test_tools_are_offered_from_their_item_on(upstream: Upstream, turn: Turn) -> None:
    upstream.says(call(0, "crm__note", {"input": "7"}, "c1"), finish="tool_calls")
    first = await turn([additional(CRM, FIND), HELLO], model="chat/m")
    assert list(offered(upstream)) == ["crm__find", "crm__note", "find"]
    (made,) = items(first)
    assert (made["type"], made["namespace"], made["name"]) == ("custom_tool_call", "crm", "note")
    assert to_json(first)["tools"] == [CRM, FIND]
    assert [each["role"] for each in upstream.requests[0]["messages"]] == ["user"]

    upstream.says(call(0, "find", {}, "c2"), finish="tool_calls")
    output = {"type": "custom_tool_call_output", "call_id": "c1", "output": "noted"}
    second = await turn([output], model="chat/m", previous_response_id=first.id)
    assert list(offered(upstream)) == ["crm__find", "crm__note", "find"]
    assert upstream.requests[1]["messages"][1]["tool_calls"][0]["function"]["name"] == "crm__note"
    assert items(second)[0]["name"] == "find"


async def test_later_tool_of_a_name_replaces_the_earlier(upstream: Upstream, turn: Turn) -> None:
    def named(said: str) -> dict[str, Any]:
        return {**FIND, "description": said}

    upstream.says({"content": "Done."})
    first = await turn(
        [additional(named("second"), NOTE), HELLO, additional(named("third"))],
        model="chat/m",
        tools=[named("first")],
    )
    assert offered(upstream) == {"find": "third", "note": "Note."}
    upstream.says({"content": "Done."})
    second = {"model": "chat/m", "tools": [named("fourth")], "previous_response_id": first.id}
    await turn("Again.", **second)
    assert offered(upstream) == {"find": "fourth", "note": "Note."}


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        ([FIND, {"type": "shell"}], "input[1].tools[1].type"),
        ([{"type": "mcp", "server_label": "a", "server_url": "https://a.example"}], "input[1].tools[0].type"),
        ([{"type": "computer"}], "input[1].tools[0].type"),
        (
            [{"type": "namespace", "name": "n", "tools": [{"type": "shell"}]}],
            "input[1].tools[0].tools[0].type",
        ),
    ],
)
def test_tool_that_runs_here_is_refused(tools: list[dict[str, Any]], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_request({"input": [HELLO, additional(*tools)]})
    assert (caught.value.param, caught.value.request_code) == (param, "unsupported_tool")


@pytest.mark.parametrize("model", ["chat/m", "responses/m"])
async def test_functions_with_one_flat_name_are_told_apart(
    upstream: Upstream, turn: Turn, model: str
) -> None:
    """`c` of `a__b`, `b__c` of `a` and a lone `a__b__c` would all be `a__b__c`."""
    tools = [
        {"type": "namespace", "name": "a__b", "description": "", "tools": [{**FIND, "name": "c"}]},
        {"type": "namespace", "name": "a", "description": "", "tools": [{**FIND, "name": "b__c"}]},
        {**FIND, "name": "a__b__c"},
    ]
    owners = [("a__b", "c"), ("a", "b__c"), (None, "a__b__c")]
    upstream.says({"content": "Done."})
    await turn("Go.", model="chat/m", tools=tools)
    names = list(offered(upstream))
    assert len(set(names)) == 3
    assert names[2] == "a__b__c"
    for number, (name, owner) in enumerate(zip(names, owners, strict=True)):
        if model == "chat/m":
            upstream.says(call(0, name, {}, f"c{number}"), finish="tool_calls")
        else:
            function = {"type": "function_call", "id": "fc_1", "call_id": f"c{number}", "name": name}
            upstream.streams([{**function, "arguments": "{}", "status": "completed"}], in_pieces=True)
        made = await turn("Call it.", model=model, tools=tools)
        assert [(each.get("namespace"), each["name"]) for each in items(made)] == [owner]
        upstream.says({"content": "Done."})
        output = {"type": "function_call_output", "call_id": f"c{number}", "output": "found"}
        await turn([output], model="chat/m", tools=tools, previous_response_id=made.id)
        assert f'"name": "{name}", "arguments"' in json.dumps(upstream.requests[-1]["messages"])


async def test_tool_choice_may_name_a_tool_of_an_earlier_turn(upstream: Upstream, turn: Turn) -> None:
    upstream.says({"content": "Ready."})
    first = await turn([additional(CRM, FIND), HELLO], model="chat/m")
    later = {"model": "chat/m", "previous_response_id": first.id}
    upstream.says(call(0, "find", {}, "c1"), finish="tool_calls")
    second = await turn("Go.", **later, tool_choice={"type": "function", "name": "find"})
    assert upstream.requests[-1]["tool_choice"] == {"type": "function", "function": {"name": "find"}}
    assert items(second)[0]["name"] == "find"
    upstream.says(call(0, "crm__note", {"input": "7"}, "c2"), finish="tool_calls")
    third = await turn("Go.", **later, tool_choice={"type": "custom", "name": "note"})
    assert upstream.requests[-1]["tool_choice"]["function"]["name"] == "crm__note"
    assert (items(third)[0]["namespace"], items(third)[0]["name"]) == ("crm", "note")
    asked = len(upstream.requests)
    with pytest.raises(InvalidRequest, match="not among the tools") as caught:
        await turn("Go.", **later, tool_choice={"type": "function", "name": "gone"})
    assert (caught.value.param, len(upstream.requests)) == ("tool_choice", asked)
