"""Tools of MCP servers in whole turns."""

from __future__ import annotations

import json
import re
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.fold import fold
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.local import LocalRuntime
from tests.runtime.played import Upstream, call
from tests.tools.mcp.conftest import Make, loopback
from tests.tools.mcp.served import Called, counting, served

Json = dict[str, Any]

pytestmark = [pytest.mark.bubblewrap, pytest.mark.shown_on()]


def entry(url: str, label: str = "calc", **fields: Any) -> Json:
    return {"type": "mcp", "server_label": label, "server_url": url, "require_approval": "never", **fields}


async def events_of(runtime: LocalRuntime, said: Any, *tools: Json, **request: Any) -> list[Json]:
    async with aclosing(runtime.respond({"input": said, "tools": list(tools), **request})) as events:
        found = [event async for event in events]
    assert to_json(fold(found)) == to_json(found[-1])["response"]
    return [to_json(event) for event in found]


def kinds(events: list[Json], index: int) -> list[str]:
    found = [each["type"] for each in events if each.get("output_index") == index]
    return [each.removeprefix("response.") for each in found]


def outputs(events: list[Json]) -> list[Json]:
    found: list[Json] = events[-1]["response"]["output"]
    return found


def told(upstream: Upstream) -> str:
    """What the model read last as the output of a call."""
    return str(next(m["content"] for m in reversed(upstream.requests[-1]["messages"]) if m["role"] == "tool"))


async def test_list_and_call_in_the_order_of_the_api(
    runtime: Make, upstream: Upstream, calc: str, called: Called
) -> None:
    upstream.says(call(0, "calc__add", {"a": 1, "b": 2}), finish="tool_calls")
    upstream.says({"content": "3"})
    async with runtime(turn_settings=loopback(calc)) as running:
        events = await events_of(running, "add", entry(f"{calc}/mcp"))
    assert kinds(events, 0) == [
        "output_item.added",
        "mcp_list_tools.in_progress",
        "mcp_list_tools.completed",
        "output_item.done",
    ]
    assert kinds(events, 1) == [
        "output_item.added",
        "mcp_call.in_progress",
        "mcp_call_arguments.delta",
        "mcp_call_arguments.done",
        "mcp_call.completed",
        "output_item.done",
    ]
    listed, made, message = outputs(events)
    assert listed["type"] == "mcp_list_tools"
    assert listed["id"].startswith("mcpl_")
    add = next(tool for tool in listed["tools"] if tool["name"] == "add")
    assert set(add) == {"annotations", "description", "input_schema", "name"}
    assert (add["annotations"], add["description"]) == ({"read_only": True}, "Add two numbers.")
    assert made == {
        "id": made["id"],
        "type": "mcp_call",
        "status": "completed",
        "approval_request_id": None,
        "arguments": '{"a": 1, "b": 2}',
        "error": None,
        "name": "add",
        "output": "3",
        "server_label": "calc",
    }
    assert made["id"].startswith("mcp_")
    assert message["content"][0]["text"] == "3"
    assert called.calls == [("add", (1, 2))]
    assert "calc" in told(upstream)
    assert re.search(r"begins>>>\n3\n<<<outside \w+ ends>>>$", told(upstream))
    assert events[-1]["response"]["tools"][0]["server_label"] == "calc"


@pytest.mark.parametrize("resent", [False, True])
async def test_a_server_is_listed_once_per_chain(
    runtime: Make, upstream: Upstream, calc: str, resent: bool
) -> None:
    async with runtime(turn_settings=loopback(calc)) as running:
        upstream.says({"content": "hello"})
        events = await events_of(running, "hi", entry(f"{calc}/mcp"))
        upstream.says(call(0, "calc__add", {"a": 2, "b": 2}), finish="tool_calls")
        upstream.says({"content": "4"})
        asked = {"role": "user", "content": "add"}
        if resent:
            more = await events_of(running, [*outputs(events), asked], entry(f"{calc}/mcp"), store=False)
        else:
            earlier = events[-1]["response"]["id"]
            more = await events_of(running, [asked], entry(f"{calc}/mcp"), previous_response_id=earlier)
    assert [item["type"] for item in outputs(events)] == ["mcp_list_tools", "message"]
    assert [item["type"] for item in outputs(more)] == ["mcp_call", "message"]
    assert outputs(more)[0]["output"] == "4"


async def test_servers_are_listed_at_once(runtime: Make, upstream: Upstream, calc: str) -> None:
    upstream.says({"content": "hi"})
    async with (
        served(counting(Called(), "two").streamable_http_app()) as two,
        runtime(turn_settings=loopback(calc, two)) as running,
    ):
        events = await events_of(running, "hi", entry(f"{calc}/mcp"), entry(f"{two}/mcp", "two"))
    lists = [each["type"] for each in events if "mcp_list_tools" in each["type"]]
    begun = [each.removeprefix("response.mcp_list_tools.") for each in lists]
    assert begun == ["in_progress", "in_progress", "completed", "completed"]
    names = {tool["function"]["name"] for tool in upstream.requests[0]["tools"]}
    assert {"calc__add", "two__add"} <= names


async def test_an_older_server_over_sse(runtime: Make, upstream: Upstream, called: Called) -> None:
    upstream.says(call(0, "calc__add", {"a": 1, "b": 2}), finish="tool_calls")
    upstream.says({"content": "3"})
    async with served(counting(called).sse_app()) as url, runtime(turn_settings=loopback(url)) as running:
        events = await events_of(running, "add", entry(f"{url}/sse"))
    assert outputs(events)[1]["output"] == "3"


async def test_an_approved_call_runs_first(
    runtime: Make, upstream: Upstream, calc: str, called: Called, tmp_path: Path
) -> None:
    tool = entry(f"{calc}/mcp", require_approval={"never": {"tool_names": ["picture"]}})
    upstream.says(call(0, "calc__add", {"a": 1, "b": 2}), finish="tool_calls")
    async with runtime(turn_settings=loopback(calc)) as running:
        events = await events_of(running, "add", tool)
        assert called.calls == []
        request = outputs(events)[1]
        assert kinds(events, 1) == ["output_item.added", "output_item.done"]
        assert request == {
            "id": request["id"],
            "type": "mcp_approval_request",
            "arguments": '{"a": 1, "b": 2}',
            "name": "add",
            "server_label": "calc",
        }
        upstream.says({"content": "3"})
        yes = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": True}
        earlier = events[-1]["response"]["id"]
        more = await events_of(running, [yes], tool, previous_response_id=earlier)
        with pytest.raises(InvalidRequest, match="answered already"):
            await events_of(running, [yes], tool, previous_response_id=earlier)
    made = outputs(more)[0]
    assert (made["type"], made["output"], made["approval_request_id"]) == ("mcp_call", "3", request["id"])
    assert called.calls == [("add", (1, 2))]
    messages = upstream.requests[-1]["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant", "tool"]
    audit = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [line["event"] for line in audit] == [
        "mcp.list",
        "approval.request",
        "approval",
        "call",
        "call.end",
    ]


async def test_a_declined_call_is_a_message_and_no_call(
    runtime: Make, upstream: Upstream, calc: str, called: Called
) -> None:
    tool = entry(f"{calc}/mcp", require_approval="always")
    upstream.says(call(0, "calc__add", {"a": 1, "b": 2}), finish="tool_calls")
    async with runtime(turn_settings=loopback(calc)) as running:
        events = await events_of(running, "add", tool, store=False)
        request = outputs(events)[1]
        upstream.says({"content": "Then not."})
        no = {
            "type": "mcp_approval_response",
            "approval_request_id": request["id"],
            "approve": False,
            "reason": "too dear",
        }
        question = {"role": "user", "content": "add"}
        said = [question, *outputs(events), no]
        more = await events_of(running, said, tool, store=False)
        assert "too dear" in told(upstream)
        upstream.says({"content": "Fine."})
        thanks = {"role": "user", "content": "thanks"}
        last = await events_of(running, [*said, *outputs(more), thanks], tool, store=False)
    assert [item["type"] for item in outputs(more)] == ["message"]
    assert [item["type"] for item in outputs(last)] == ["message"]
    assert called.calls == []


async def test_a_filter_by_hints_decides_who_asks(runtime: Make, upstream: Upstream, calc: str) -> None:
    tool = entry(f"{calc}/mcp", require_approval={"never": {"read_only": True}})
    both = [call(0, "calc__add", {"a": 1, "b": 2}, "a"), call(1, "calc__fails", {}, "b")]
    upstream.says(*both, finish="tool_calls")
    async with runtime(turn_settings=loopback(calc)) as running:
        events = await events_of(running, "both", tool)
    assert [item["type"] for item in outputs(events)[1:]] == ["mcp_call", "mcp_approval_request"]


@pytest.mark.parametrize("allowed", [["add"], {"tool_names": ["add", "fails"], "read_only": True}])
async def test_only_allowed_tools_are_offered(
    runtime: Make, upstream: Upstream, calc: str, allowed: Any
) -> None:
    upstream.says({"content": "hi"})
    async with runtime(turn_settings=loopback(calc)) as running:
        events = await events_of(running, "hi", entry(f"{calc}/mcp", allowed_tools=allowed))
    assert [tool["name"] for tool in outputs(events)[0]["tools"]] == ["add"]
    assert [tool["function"]["name"] for tool in upstream.requests[0]["tools"]] == ["calc__add"]


async def test_a_failing_tool_is_told_to_the_model(runtime: Make, upstream: Upstream, calc: str) -> None:
    upstream.says(call(0, "calc__fails", {}), finish="tool_calls")
    upstream.says({"content": "It failed."})
    async with runtime(turn_settings=loopback(calc)) as running:
        events = await events_of(running, "try", entry(f"{calc}/mcp"))
    made = outputs(events)[1]
    assert kinds(events, 1)[-2:] == ["mcp_call.failed", "output_item.done"]
    assert (made["status"], made["output"]) == ("failed", None)
    assert made["error"]["type"] == "mcp_tool_execution_error"
    assert "out of paper" in made["error"]["content"][0]["text"]
    assert "out of paper" in told(upstream)


async def test_pictures_progress_and_deep_json(runtime: Make, upstream: Upstream, calc: str) -> None:
    three = [call(n, f"calc__{name}", {}, name) for n, name in enumerate(["picture", "slow", "deep"])]
    upstream.says(*three, finish="tool_calls")
    upstream.says({"content": "ok"})
    async with runtime(turn_settings=loopback(calc)) as running:
        tool = entry(f"{calc}/mcp", agent_kernel={"progress": True})
        events = await events_of(running, "all", tool)
    picture, slow, deep = outputs(events)[1:4]
    assert picture["agent_kernel"]["content"][0]["mime_type"] == "image/png"
    assert picture["output"].startswith("a picture\n[image: image/png,")
    progress = [each for each in events if each["type"] == "agent_kernel.mcp_call.progress"]
    assert [(each["progress"], each["total"], each["message"]) for each in progress] == [
        (1, 2, "half"),
        (2, 2, "all"),
    ]
    assert {each["item_id"] for each in progress} == {slow["id"]}
    assert (slow["output"], deep["status"]) == ("done", "completed")
    assert "nested too deeply" in deep["output"]


async def test_a_changed_list_is_offered_in_the_next_step(
    runtime: Make, upstream: Upstream, called: Called
) -> None:
    upstream.says(call(0, "calc__grows", {}), finish="tool_calls")
    upstream.says(call(0, "calc__grown", {}), finish="tool_calls")
    upstream.says({"content": "ok"})
    async with served(counting(called).sse_app()) as url, runtime(turn_settings=loopback(url)) as running:
        events = await events_of(running, "grow", entry(f"{url}/sse"))
    found = [(item["type"], item.get("output")) for item in outputs(events)]
    assert found[2:4] == [("mcp_list_tools", None), ("mcp_call", "hello from the new one")]


async def test_tool_choice_names_a_server_or_its_tool(runtime: Make, upstream: Upstream, calc: str) -> None:
    async with runtime(turn_settings=loopback(calc)) as running:
        upstream.says({"content": "ok"})
        one = {"type": "mcp", "server_label": "calc", "name": "add"}
        await events_of(running, "hi", entry(f"{calc}/mcp"), tool_choice=one)
        assert upstream.requests[-1]["tool_choice"] == {"type": "function", "function": {"name": "calc__add"}}
        upstream.says({"content": "ok"})
        any_of = {"type": "mcp", "server_label": "calc"}
        await events_of(running, "hi", entry(f"{calc}/mcp"), tool_choice=any_of)
        assert upstream.requests[-1]["tool_choice"] == "required"
        with pytest.raises(InvalidRequest, match="not among the tools"):
            await events_of(
                running, "hi", entry(f"{calc}/mcp"), tool_choice={"type": "mcp", "server_label": "x"}
            )
