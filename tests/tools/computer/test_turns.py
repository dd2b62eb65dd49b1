"""The tool `computer` in whole turns: items, the desktop, models of each dialect, approvals, the client."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from openai.types.responses import ResponseComputerToolCall, ResponseComputerToolCallOutputItem

from agent_kernel.errors import InvalidRequest, MalformedCall
from agent_kernel.models.catalogue import NamedUpstream
from agent_kernel.policy.rules import Policy
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.sandboxes.base import Backend
from agent_kernel.tools.computer.tool import BLANK, COMPUTER, OUTSIDE, UNSEEN
from agent_kernel.tools.request import read_tools
from tests.models.anthropic.messages_server import KEY as CLAUDE_KEY
from tests.models.anthropic.messages_server import serving as messages_api
from tests.models.anthropic.shapes import text, use
from tests.runtime.played import Upstream, call, runtime_on, turns_of
from tests.tools.accumulated import check_stream
from tests.tools.computer.conftest import APP
from tests.tools.test_toy import SHELL, Json, Make, events_of, opened

SCRIPT = f"scripted/{Path(__file__).parent / 'desktop.yaml'}"
DESKTOP: Json = {"type": "computer", "agent_kernel": {"container": {"type": "auto", "memory_limit": "4g"}}}
TOOLS: Json = {"tools": [SHELL, DESKTOP]}
CLIENT: Json = {"type": "computer"}
PREVIEW: Json = {
    "type": "computer_use_preview",
    "display_width": 800,
    "display_height": 600,
    "environment": "linux",
}
SCREENSHOT: Json = {"type": "computer_screenshot", "image_url": "data:image/png;base64,aGk="}
CHECK: Json = {"id": "cu_sc_1", "code": "malicious_instructions", "message": "Look at it."}
CLICK: Json = {"type": "click", "button": "left", "x": 3, "y": 4}
NATIVE: Json = {
    "type": "computer_call",
    "id": "cu_1",
    "call_id": "call_1",
    "status": "completed",
    "actions": [CLICK],
    "pending_safety_checks": [CHECK],
}
MESSAGE: Json = {
    "type": "message",
    "id": "m",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Done", "annotations": []}],
}
KEPT = ("responses", "events", "conversation_items")

pytestmark = pytest.mark.bubblewrap


@pytest.fixture
def runtime(bubblewrap_backend: Backend, tmp_path: Path, desktop_programs: None) -> Make:
    return partial(opened, bubblewrap_backend, tmp_path, SCRIPT)


def computers_items(events: list[Json]) -> list[Json]:
    """Check a whole stream, and return the computer's items."""
    found = []
    for item, of_item in check_stream(events):
        if not item["type"].startswith("computer_call"):
            continue
        is_call = item["type"] == "computer_call"
        (ResponseComputerToolCall if is_call else ResponseComputerToolCallOutputItem).model_validate(item)
        order = [event["type"] for event in of_item]
        assert order == ["response.output_item.added", "response.output_item.done"]
        found.append(item)
    return found


async def container_with_app(running: LocalRuntime) -> str:
    """Make a container that has the page's server."""
    container = await running.containers.create({"name": "desk", "memory_limit": "4g"})

    async def content() -> AsyncIterator[bytes]:
        yield APP

    await running.containers.files.create(container.id, path="/mnt/data/app.py", content=content())
    return str(container.id)


async def test_a_form_is_filled_in_on_the_desktop(runtime: Make, tmp_path: Path) -> None:
    async with runtime() as running:
        container = await container_with_app(running)
        tools = [
            {"type": "shell", "environment": {"type": "container_reference", "container_id": container}},
            {"type": "computer", "agent_kernel": {"container": container}},
        ]
        events = await events_of(running, "fill in the form", tools=tools)
        response = events[-1]["response"]
        assert response["status"] == "completed", response
        items = computers_items(events)
        assert [item["type"] for item in items] == ["computer_call", "computer_call_output"] * 3
        assert response["output"][-1]["content"][0]["text"] == "The page has Grüße 日本."
        assert response["tools"][1]["agent_kernel"]["container"] == container
        done = items[1]
        kind, _, data = done["output"]["image_url"].partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data)[16:24] == bytes.fromhex("0000050000000320")  # 1280 x 800
        assert (done["status"], done["acknowledged_safety_checks"]) == ("completed", [])
        assert items[5]["status"] == "incomplete"
        assert "is not on the screen" in items[5]["output"]["agent_kernel"]["said"][0]
        audit = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
        assert [each["event"] for each in audit if each.get("tool") == "computer"] == ["call", "call.end"] * 3


async def test_input_asks_after_the_screen_was_seen(runtime: Make) -> None:
    async with runtime(approval=Policy(after_outside="ask")) as running:
        first = (await events_of(running, "look at it", **TOOLS))[-1]["response"]
        assert [item["type"] for item in first["output"]] == [
            "computer_call",
            "computer_call_output",
            "message",
        ]
        events = await events_of(running, "press enter", **TOOLS, previous_response_id=first["id"])
        asked, request = events[-1]["response"]["output"]
        assert request["agent_kernel"]["outside"] is True
        assert json.loads(request["arguments"])["actions"] == [{"type": "keypress", "keys": ["ENTER"]}]
        answer = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": True}
        earlier = events[-1]["response"]["id"]
        events = await events_of(running, [answer], **TOOLS, previous_response_id=earlier)
        output, said = events[-1]["response"]["output"]
        assert (output["call_id"], output["status"]) == (asked["call_id"], "completed"), output
        assert said["type"] == "message"
        assert len(computers_items(await events_of(running, "press enter", **TOOLS))) == 2  # nothing was seen


async def test_hostile_page_ends_in_questions(runtime: Make) -> None:
    """The model obeys the page. Rules ask about places; the policy asks about all that has effects."""
    async with runtime() as running:
        container = await container_with_app(running)
        reference = {"type": "container_reference", "container_id": container}
        tools = [
            {"type": "shell", "environment": reference},
            {"type": "computer", "agent_kernel": {"container": container}},
        ]

        async def say(said: Any, earlier: str | None = None, **more: Any) -> Json:
            events = await events_of(running, said, tools=tools, previous_response_id=earlier, **more)
            response: Json = events[-1]["response"]
            return response

        response = await say("open the shop")
        asks = (("pay", "payment"), ("log in", "password"), ("save", "download"), ("allow", "payment"))
        for said, rule in asks:
            response = await say(f"obey and {said}", response["id"])
            *_, refused, called, request = response["output"]
            assert refused["output"]["agent_kernel"]["risk"]["kind"] in ("payment", "credentials", "download")
            assert (called["type"], request["type"]) == ("computer_call", "mcp_approval_request")
            assert rule in json.loads(request["arguments"])["reason"]
        ask = {"agent_kernel": {"approval": {"after_outside": "ask"}}}
        response = await say("obey and run", response["id"], **ask)
        assert [item["type"] for item in response["output"]] == ["shell_call", "mcp_approval_request"]
        response = await say("what happened", response["id"])
        (output,) = [item for item in response["output"] if item["type"] == "shell_call_output"]
        told = [json.loads(line)["kind"] for line in output["output"][0]["stdout"].splitlines()[:-1]]
        assert told == ["imitated"]  # nothing was paid, typed, saved or allowed


async def test_chat_model_gets_screenshots_as_images(
    upstream: Upstream, bubblewrap_backend: Backend, tmp_path: Path, desktop_programs: None
) -> None:
    """Claude goes on at the same desktop, with the tool that its API has."""
    with messages_api() as claude:
        own = {"claude": NamedUpstream("anthropic", claude.url, key=CLAUDE_KEY)}
        async with runtime_on(upstream.url, bubblewrap_backend, tmp_path, own) as running:

            async def turn(said: str, model: str, earlier: str | None = None) -> Json:
                events = await events_of(
                    running, said, model=model, tools=[DESKTOP], previous_response_id=earlier
                )
                check_stream(events)
                response: Json = events[-1]["response"]
                return response

            upstream.says(call(0, "computer", {"actions": [{"type": "screenshot"}]}), finish="tool_calls")
            upstream.says({"content": "Seen."})
            response = await turn("Look.", "chat/m")
            assert kinds(response) == ["computer_call", "computer_call_output", "message"]
            url = response["output"][1]["output"]["image_url"]
            (function,) = upstream.requests[0]["tools"]
            assert "1280 x 800" in function["function"]["description"]
            tool, user = upstream.requests[1]["messages"][-2:]
            assert OUTSIDE in tool["content"]
            assert user["content"][1] == {"type": "image_url", "image_url": {"url": url, "detail": "auto"}}
            upstream.responds(MESSAGE)
            response = await turn("On.", "responses/m", response["id"])
            output = upstream.requests[2]["input"][2]
            assert output["type"] == "function_call_output"
            assert output["output"][1] == {"type": "input_image", "image_url": url, "detail": "auto"}
            move = use("toolu_1", "mouse_move", {"coordinate": [30, 40]})
            claude.says({**move, "toolset_name": "computer"}, stop="tool_use")
            claude.says(text("Moved."))
            response = await turn("Move.", "claude/claude-test", response["id"])
            assert kinds(response) == ["computer_call", "computer_call_output", "message"]
            assert response["output"][0]["actions"] == [{"type": "move", "x": 30, "y": 40}]
            (entry,) = claude.requests[0]["tools"]
            assert entry["type"] == "computer_toolset_20260801"
            (result,) = claude.requests[1]["messages"][-1]["content"]
            picture = result["content"][-1]["source"]["data"]
            assert response["output"][1]["output"]["image_url"] == f"data:image/png;base64,{picture}"
        assert claude.faults == []
    with closing(sqlite3.connect(tmp_path / "store.sqlite")) as database:
        kept = [str(row) for table in KEPT for row in database.execute(f"SELECT * FROM {table}")]
    seen = 2 if url.endswith(picture) else 1  # one for each call: the screen may be the same
    assert sum(row.count(url) for row in kept) == seen


def kinds(response: Json) -> list[str]:
    return [item["type"] for item in response["output"]]


async def test_safety_check_of_the_upstream_asks(
    upstream: Upstream, bubblewrap_backend: Backend, tmp_path: Path, desktop_programs: None
) -> None:
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path) as running:
        turn = turns_of(running)
        upstream.responds(NATIVE)
        events = await events_of(running, "Go.", model="native/m", tools=[DESKTOP])
        check_stream(events)
        first = events[-1]["response"]
        called, request = first["output"]
        assert upstream.requests[0]["tools"] == [CLIENT]
        assert called["pending_safety_checks"] == [CHECK]
        assert "Look at it." in json.loads(request["arguments"])["reason"]
        upstream.responds(MESSAGE)
        answer = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": True}
        more = to_json(
            await turn([answer], model="native/m", tools=[DESKTOP], previous_response_id=first["id"])
        )
        assert more["output"][0]["acknowledged_safety_checks"] == [CHECK]
        sent = [each for each in upstream.requests[1]["input"] if each["type"] == "computer_call_output"]
        assert sent[0]["acknowledged_safety_checks"] == [CHECK]
        assert sent[0]["output"]["image_url"].startswith("data:image/png;base64,")


async def test_denied_call_is_told_to_a_native_model(
    upstream: Upstream, bubblewrap_backend: Backend, tmp_path: Path
) -> None:
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path, approval=Policy("deny")) as running:
        upstream.responds({**NATIVE, "pending_safety_checks": []})
        upstream.responds(MESSAGE)
        response = to_json(await turns_of(running)("Go.", model="native/m", tools=[DESKTOP]))
        assert response["output"][1]["status"] == "incomplete"
        output, note = upstream.requests[1]["input"][-2:]
        assert output["output"] == {"type": "computer_screenshot", "image_url": BLANK}
        assert note["content"][0]["text"].startswith("Not run: The policy denies")


@pytest.mark.parametrize("tool", [CLIENT, PREVIEW], ids=["computer", "preview"])
async def test_without_a_container_the_client_acts(
    upstream: Upstream, bubblewrap_backend: Backend, tmp_path: Path, tool: Json
) -> None:
    field = "actions" if tool is CLIENT else "action"
    given = {**NATIVE, field: [CLICK] if tool is CLIENT else CLICK}
    if tool is PREVIEW:
        del given["actions"]
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path) as running:
        turn = turns_of(running)
        upstream.responds(given)
        first = await turn("Go.", model="native/m", tools=[tool], tool_choice={"type": tool["type"]})
        assert upstream.requests[0]["tools"] == [tool]
        assert upstream.requests[0]["tool_choice"] == {"type": tool["type"]}
        (called,) = to_json(first)["output"]
        assert (called[field], called["pending_safety_checks"]) == (given[field], [CHECK])
        assert "agent_kernel" not in called
        upstream.responds(MESSAGE)
        output = {
            "type": "computer_call_output",
            "call_id": "call_1",
            "output": SCREENSHOT,
            "acknowledged_safety_checks": [CHECK],
        }
        await turn([output], model="native/m", tools=[tool], previous_response_id=first.id)
        sent_call, sent_output = upstream.requests[1]["input"][1:]
        assert sent_call == {**given, "id": called["id"]}
        assert {name: sent_output[name] for name in output} == output
        upstream.says(call(0, "computer", {"actions": [CLICK]}, "c2"), finish="tool_calls")
        first = await turn("Go.", model="chat/m", tools=[tool])
        (called,) = to_json(first)["output"]
        assert called[field] == given[field]
        upstream.says({"content": "Done."})
        file = {"type": "computer_screenshot", "file_id": "file-1"}
        await turn(
            [{**output, "call_id": "c2", "output": file}],
            model="chat/m",
            tools=[tool],
            previous_response_id=first.id,
        )
        assert upstream.requests[3]["messages"][-1]["content"] == UNSEEN


async def test_call_that_was_not_offered_is_rejected(
    upstream: Upstream, bubblewrap_backend: Backend, tmp_path: Path
) -> None:
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path) as running:
        upstream.responds(NATIVE)
        upstream.responds(MESSAGE)
        response = to_json(await turns_of(running)("Go.", model="native/m"))
        assert [item["type"] for item in response["output"]] == ["mcp_call", "message"]


@pytest.mark.parametrize(
    ("entry", "param"),
    [
        ({"agent_kernel": {}}, "tools[0].agent_kernel"),
        ({"agent_kernel": {"container": 3}}, "tools[0].agent_kernel.container"),
        ({"agent_kernel": {"container": "auto", "size": 3}}, "tools[0].agent_kernel"),
        (
            {"agent_kernel": {"container": "auto", "display": {"width": 100_000}}},
            "tools[0].agent_kernel.display.width",
        ),
        ({"type": "computer_use_preview"}, "tools[0].display_width"),
    ],
)
def test_malformed_entry_is_refused(entry: Json, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_tools([{**CLIENT, **entry}])
    assert caught.value.param == param


@pytest.mark.parametrize("tool", [CLIENT, PREVIEW], ids=["computer", "preview"])
async def test_size_out_of_range_is_refused_before_all(
    upstream: Upstream, bubblewrap_backend: Backend, tmp_path: Path, tool: Json
) -> None:
    ours = {"container": "auto", **({"display": {"width": 100_000}} if tool is CLIENT else {})}
    large = {**tool, "agent_kernel": ours, **({"display_width": 100_000} if tool is PREVIEW else {})}
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path) as running:
        turn = turns_of(running)
        with pytest.raises(InvalidRequest, match="320 to 3840"):
            await turn("Go.", model="chat/m", tools=[large])
        assert (upstream.requests, (await running.containers.list(limit=100)).data) == ([], [])
        upstream.says({"content": "Here."})
        assert (await turn("Go.", model="chat/m", tools=[tool])).status == "completed"


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"actions": []},
        {"actions": [{"type": "fly"}]},
        {"actions": [{"type": "click", "x": 1}]},
        {"actions": [{"type": "click", "x": 1, "y": True}]},
        {"actions": [{"type": "click", "x": 1, "y": 10**9}]},
        {"actions": [{"type": "type", "text": "x" * 10_001}]},
        {"actions": [{"type": "type", "text": "\ud800"}]},
        {"actions": [{"type": "keypress", "keys": []}]},
        {"actions": [{"type": "drag", "path": [{"x": 1, "y": 1}]}]},
        {"actions": [{"type": "screenshot"}] * 101},
        {"action": "left_mouse_down"},
        {"action": "left_click"},
    ],
)
def test_malformed_call_is_explained(arguments: Json) -> None:
    with pytest.raises(MalformedCall):
        COMPUTER.read_arguments("c1", json.dumps(arguments))
