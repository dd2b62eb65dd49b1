"""Tools that a model finds before it calls them: functions, namespaces, custom and MCP tools."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.tools.tool_search.ranking import ranked
from tests.runtime.played import Upstream, call
from tests.tools.mcp.conftest import Make, loopback
from tests.tools.mcp.served import Called, counting, served
from tests.tools.mcp.test_turns import Json, entry, events_of, kinds, outputs

pytestmark = [pytest.mark.bubblewrap, pytest.mark.shown_on()]

SEARCH: Json = {"type": "tool_search"}
NO_ARGUMENTS: Json = {"type": "object", "properties": {}}


def function(name: str, said: str, **more: Any) -> Json:
    return {
        "type": "function",
        "name": name,
        "description": said,
        "parameters": NO_ARGUMENTS,
        "strict": False,
        "defer_loading": True,
        **more,
    }


WEATHER = function("get_weather", "Return the weather of a city.")
CRM: Json = {
    "type": "namespace",
    "name": "crm",
    "description": "Customers.",
    "tools": [function("find", "Find a customer."), function("remove", "Delete a customer.")],
}
QUERY: Json = {"type": "custom", "name": "run_sql", "description": "Run SQL.", "defer_loading": True}
ALL = [SEARCH, WEATHER, CRM, QUERY, function("always", "Be there.", defer_loading=False)]


@pytest.fixture
async def calc() -> AsyncIterator[str]:
    async with served(counting(Called()).streamable_http_app()) as url:
        yield url


def offered(upstream: Upstream, place: int = -1) -> list[str]:
    """The names of the functions in a request to a Chat upstream."""
    return [tool["function"]["name"] for tool in upstream.requests[place]["tools"]]


async def test_found_tools_can_be_called_from_then_on(runtime: Make, upstream: Upstream) -> None:
    upstream.says(call(0, "tool_search", {"paths": ["get_weather"]}), finish="tool_calls")
    upstream.says(call(0, "get_weather", {}, "w1"), finish="tool_calls")
    async with runtime() as running:
        events = await events_of(running, "weather?", *ALL)
        search, found, made = outputs(events)
        upstream.says({"content": "Sunny."})
        answer = {"type": "function_call_output", "call_id": made["call_id"], "output": "sun"}
        earlier = events[-1]["response"]["id"]
        last = await events_of(running, [answer], *ALL, previous_response_id=earlier)
    assert kinds(events, 0) == kinds(events, 1) == ["output_item.added", "output_item.done"]
    assert search == {
        "id": search["id"],
        "type": "tool_search_call",
        "arguments": {"paths": ["get_weather"]},
        "call_id": None,
        "execution": "server",
        "status": "completed",
    }
    assert (search["id"][:4], found["id"][:4]) == ("tsc_", "tso_")
    assert found == {
        "id": found["id"],
        "type": "tool_search_output",
        "call_id": None,
        "execution": "server",
        "status": "completed",
        "tools": [WEATHER],
    }
    assert (made["type"], made["name"], made["namespace"]) == ("function_call", "get_weather", "get_weather")
    assert offered(upstream, 0) == ["tool_search", "always"]
    assert offered(upstream, 1) == offered(upstream, 2) == ["tool_search", "get_weather", "always"]
    said = upstream.requests[0]["tools"][0]["function"]["description"]
    assert said.endswith("- get_weather\n- crm (2 tools)\n- run_sql")
    assert all("defer_loading" not in tool["function"] for tool in upstream.requests[1]["tools"])
    messages = upstream.requests[-1]["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant", "tool", "assistant", "tool"]
    assert messages[2]["content"] == "You can call now: get_weather."
    assert messages[3]["tool_calls"][0]["function"]["name"] == "get_weather"
    assert outputs(last)[0]["content"][0]["text"] == "Sunny."
    assert [tool["type"] for tool in last[-1]["response"]["tools"]] == [tool["type"] for tool in ALL]


async def test_a_query_finds_tools_of_every_kind(runtime: Make, upstream: Upstream, calc: str) -> None:
    upstream.says(call(0, "tool_search", {"query": "delete customers"}, "a"), finish="tool_calls")
    upstream.says(call(0, "tool_search", {"query": "sql"}, "b"), finish="tool_calls")
    upstream.says(call(0, "tool_search", {"paths": ["calc.add"]}, "c"), finish="tool_calls")
    upstream.says(call(0, "calc__add", {"a": 1, "b": 2}, "d"), finish="tool_calls")
    upstream.says(call(0, "crm__remove", {}, "e"), finish="tool_calls")
    tool = entry(f"{calc}/mcp", defer_loading=True)
    async with runtime(turn_settings=loopback(calc)) as running:
        items = outputs(await events_of(running, "go", *ALL, tool))
    found = [item["tools"] for item in items if item["type"] == "tool_search_output"]
    assert [each["name"] for each in found[0][0]["tools"]] == ["remove", "find"]
    assert (found[0][0]["type"], found[0][0]["name"]) == ("namespace", "crm")
    assert [(each["type"], each["name"]) for each in found[1]] == [("custom", "run_sql")]
    assert (found[2][0]["name"], found[2][0]["tools"][0]["name"]) == ("calc", "add")
    assert items[-2]["output"] == "3"
    assert (items[-1]["name"], items[-1]["namespace"]) == ("remove", "crm")
    assert offered(upstream) == [
        "tool_search",
        "crm__find",
        "crm__remove",
        "run_sql",
        "always",
        "calc__add",
    ]


async def test_a_tool_that_was_not_found_cannot_be_called(runtime: Make, upstream: Upstream) -> None:
    upstream.says(call(0, "get_weather", {}), finish="tool_calls")
    upstream.says(call(0, "tool_search", {"query": "zebra"}), finish="tool_calls")
    upstream.says({"content": "No."})
    async with runtime() as running:
        items = outputs(await events_of(running, "go", *ALL))
    assert [item["type"] for item in items] == [
        "mcp_call",
        "tool_search_call",
        "tool_search_output",
        "message",
    ]
    assert "there is no such tool" in items[0]["error"]["message"]
    assert items[2]["tools"] == []


async def test_without_a_search_all_tools_are_offered(runtime: Make, upstream: Upstream) -> None:
    upstream.says({"content": "hi"})
    async with runtime() as running:
        await events_of(running, "go", *ALL[1:])
    assert offered(upstream) == ["get_weather", "crm__find", "crm__remove", "run_sql", "always"]


async def test_a_responses_upstream_gets_functions_too(runtime: Make, upstream: Upstream) -> None:
    search = {"name": "tool_search", "arguments": '{"paths": ["crm"]}', "call_id": "s"}
    find = {"name": "crm__find", "arguments": "{}", "call_id": "f"}
    upstream.responds({"type": "function_call", "id": "fc_1", **search})
    upstream.responds({"type": "function_call", "id": "fc_2", **find})
    async with runtime() as running:
        items = outputs(await events_of(running, "go", *ALL, model="responses/m"))
    assert [item["type"] for item in items] == ["tool_search_call", "tool_search_output", "function_call"]
    assert (items[2]["name"], items[2]["namespace"]) == ("find", "crm")
    sent = upstream.requests[1]
    assert [tool["name"] for tool in sent["tools"]] == [
        "tool_search",
        "crm__find",
        "crm__remove",
        "always",
    ]
    pair = [item for item in sent["input"] if item["type"].startswith("function_call")]
    assert pair[0]["call_id"] == pair[1]["call_id"]
    assert pair[1]["output"] == "You can call now: find of crm, remove of crm."


async def test_a_client_answers_its_own_search(runtime: Make, upstream: Upstream) -> None:
    own = {**SEARCH, "execution": "client", "description": "Find tools.", "parameters": NO_ARGUMENTS}
    upstream.says(call(0, "tool_search", {"goal": "weather"}, "s1"), finish="tool_calls")
    async with runtime() as running:
        events = await events_of(running, "go", own)
        (asked,) = outputs(events)
        answer = {
            "type": "tool_search_output",
            "call_id": asked["call_id"],
            "execution": "client",
            "tools": [WEATHER],
        }
        upstream.says(call(0, "get_weather", {}, "w1"), finish="tool_calls")
        earlier = events[-1]["response"]["id"]
        items = outputs(await events_of(running, [answer], own, previous_response_id=earlier))
        hosted = {**answer, "tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}
        with pytest.raises(InvalidRequest, match="only tools that the client runs"):
            await events_of(running, [hosted], own, previous_response_id=earlier)
    assert (asked["type"], asked["execution"]) == ("tool_search_call", "client")
    assert (asked["call_id"], asked["arguments"]) == ("s1", {"goal": "weather"})
    assert events[-1]["type"] == "response.completed"
    assert upstream.requests[0]["tools"][0]["function"]["description"] == "Find tools."
    assert offered(upstream) == ["tool_search", "get_weather"]
    assert (items[0]["name"], items[0]["namespace"]) == ("get_weather", "get_weather")


@pytest.mark.parametrize("field", [{"execution": "both"}, {"description": 5}, {"parameters": "x"}])
async def test_entries_that_are_refused(runtime: Make, field: Json) -> None:
    async with runtime() as running:
        with pytest.raises(InvalidRequest, match=next(iter(field))):
            await events_of(running, "go", {**SEARCH, **field})


def test_names_count_more_than_descriptions() -> None:
    tools = [("mail", "Send a report"), ("sendReport", "Mail"), ("crm.find_customer", "Find people")]
    assert ranked("send reports", tools, 5) == [1, 0]
    assert ranked("customers", tools, 5) == [2]
    assert ranked('"; DROP TABLE tools; -- OR * NEAR(', tools, 5) == []
    assert ranked("", tools, 5) == ranked("x", [], 5) == []
    assert ranked("x " * 100_000 + "mail", tools, 5) == []
