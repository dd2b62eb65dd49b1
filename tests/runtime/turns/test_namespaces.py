"""Namespaces: models get flat function names, clients get each function's own name and namespace."""

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
from agent_kernel.tools.namespaces import flat_name
from tests.runtime.played import Turn, Upstream, call, items, runtime_on, turns_of

pytestmark = pytest.mark.bubblewrap

PARAMETERS = {"type": "object", "properties": {"id": {"type": "string"}}}
FIND = {"type": "function", "name": "find", "description": "Find.", "parameters": PARAMETERS}
CRM: dict[str, Any] = {"type": "namespace", "name": "crm", "description": "Customers.", "tools": [FIND]}
SHOP = {**CRM, "name": "shop"}


@pytest.fixture
async def turn(
    upstream: Upstream, bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> AsyncIterator[Turn]:
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path) as runtime:
        yield turns_of(runtime)


def calls(upstream: Upstream, model: str, name: str, *, in_pieces: bool) -> None:
    """Let the upstream call a function in the model's dialect."""
    if model.startswith("chat"):
        upstream.says(call(0, name, {"id": "7"}, "c1"), finish="tool_calls")
        return
    arguments = json.dumps({"id": "7"})
    item = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": name, "arguments": arguments}
    upstream.streams([{**item, "status": "completed"}], in_pieces=in_pieces)


def offered(request: dict[str, Any]) -> list[str]:
    return [(tool.get("function") or tool)["name"] for tool in request["tools"]]


def called(request: dict[str, Any]) -> list[tuple[str, str | None]]:
    """Return the names and namespaces of the calls in what an upstream was sent."""
    if "messages" in request:
        made = [one for each in request["messages"] for one in each.get("tool_calls") or ()]
        return [(each["function"]["name"], None) for each in made]
    made = [each for each in request["input"] if each["type"] == "function_call"]
    return [(each["name"], each.get("namespace")) for each in made]


@pytest.mark.parametrize("model", ["chat/m", "responses/m", "openai/m"])
@pytest.mark.parametrize("in_pieces", [True, False])
async def test_functions_of_namespaces_are_called(
    upstream: Upstream, turn: Turn, model: str, in_pieces: bool
) -> None:
    calls(upstream, model, "shop__find", in_pieces=in_pieces)
    first = await turn("Go.", model=model, tools=[CRM, SHOP, FIND])
    assert offered(upstream.requests[0]) == ["crm__find", "shop__find", "find"]
    (made,) = items(first)
    assert (made["name"], made["namespace"], made["status"]) == ("find", "shop", "completed")
    assert [tool["type"] for tool in to_json(first)["tools"]] == ["namespace", "namespace", "function"]

    calls(upstream, model, "find", in_pieces=in_pieces)
    output = {"type": "function_call_output", "call_id": "c1", "output": "found"}
    second = await turn([output], model=model, tools=[CRM, SHOP, FIND], previous_response_id=first.id)
    assert called(upstream.requests[1]) == [("shop__find", None)]
    assert (items(second)[0]["name"], items(second)[0].get("namespace")) == ("find", None)


async def test_bare_name_is_rejected_with_the_right_ones(upstream: Upstream, turn: Turn) -> None:
    calls(upstream, "chat/m", "find", in_pieces=False)
    upstream.says({"content": "I see."})
    await turn("Go.", model="chat/m", tools=[CRM])
    assert "The tools are: crm__find." in upstream.requests[1]["messages"][-1]["content"]


async def test_chain_goes_on_without_its_namespace(upstream: Upstream, turn: Turn) -> None:
    calls(upstream, "responses/m", "crm__find", in_pieces=True)
    first = await turn("Go.", model="responses/m", tools=[CRM])
    upstream.says({"content": "Done."})
    output = {"type": "function_call_output", "call_id": "c1", "output": "found"}
    second = await turn([output], model="chat/m", previous_response_id=first.id)
    assert second.output_text == "Done."
    assert called(upstream.requests[1]) == [("find", None)]


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ({"type": "function", "name": "find", "namespace": "shop"}, ["crm__find", "shop__find"]),
        ({"type": "function", "name": "find"}, ["crm__find", "shop__find"]),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "namespace", "name": "shop"}]},
            ["shop__find"],
        ),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "find"}]},
            ["crm__find", "shop__find"],
        ),
    ],
)
async def test_tool_choice_names_functions(
    upstream: Upstream, turn: Turn, choice: dict[str, Any], sent: list[str]
) -> None:
    upstream.says({"content": "Done."})
    response = await turn("Go.", model="chat/m", tools=[CRM, SHOP], tool_choice=choice)
    assert offered(upstream.requests[0]) == sent
    assert to_json(response)["tool_choice"] == choice
    if choice["type"] == "function":
        wanted = flat_name(choice.get("namespace", "crm"), "find")
        assert upstream.requests[0]["tool_choice"] == {"type": "function", "function": {"name": wanted}}


@pytest.mark.parametrize(
    ("spec", "param"),
    [
        ({**CRM, "name": None}, "tools[0].name"),
        ({**CRM, "name": ""}, "tools[0].name"),
        ({**CRM, "tools": [FIND, {"type": "function"}]}, "tools[0].tools[1].name"),
        ({**CRM, "tools": [FIND, {"type": "web_search"}]}, "tools[0].tools[1].type"),
    ],
)
def test_malformed_namespace_is_refused(spec: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_request({"input": "x", "tools": [spec]})
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("namespace", "name", "flat"),
    [
        ("crm", "find", "crm__find"),
        ("mcp__crm__", "find", "mcp__crm__find"),
        ("a b", "find", "a_b__find_4af91e7d"),
        ("é", "find", "___find_24e7dd9e"),
        ("n" * 60, "find", "n" * 55 + "_6dd939a6"),
    ],
)
def test_flat_names_fit_upstreams(namespace: str, name: str, flat: str) -> None:
    assert flat_name(namespace, name) == flat
    assert len(flat) <= 64
    assert flat_name(namespace, name + "2") != flat
