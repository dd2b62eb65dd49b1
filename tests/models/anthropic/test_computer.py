"""The tool `computer` in the forms of Anthropic's API."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from agent_kernel.models.anthropic.computer import BETA, TOOL, spec_of, use_of
from agent_kernel.models.anthropic.model import AnthropicModel
from agent_kernel.models.base import ModelRequest
from agent_kernel.protocol.calls import CallDone, RejectedCall
from agent_kernel.tools.computer.tool import COMPUTER
from agent_kernel.tools.request import read_tools
from tests.later import anthropic_types
from tests.models.anthropic.messages_server import MessagesServer
from tests.models.anthropic.shapes import text, use

TOOLS = read_tools([{"type": "computer", "agent_kernel": {"container": "auto", "display": {"width": 1000}}}])
DOT = "data:image/png;base64,AA=="
ASKED = {"type": "message", "role": "user", "content": "Go."}


def item(*actions: dict[str, Any]) -> dict[str, Any]:
    return {"type": "computer_call", "id": "cu_1", "call_id": "toolu_1", "actions": list(actions)}


async def asked(model: AnthropicModel, *items: dict[str, Any]) -> list[Any]:
    return [delta async for delta in model.stream(ModelRequest("claude-test", [ASKED, *items], tools=TOOLS))]


async def test_toolset_is_offered_and_read(messages: MessagesServer, model: AnthropicModel) -> None:
    given = use("toolu_1", "left_click", {"coordinate": [3, 4], "text": "ctrl+shift"})
    look = use("toolu_2", "screenshot", {})
    for block in (given, look):
        block["toolset_name"] = "computer"
        TypeAdapter(anthropic_types.ComputerToolUseBlock).validate_python(
            {**block, "caller": {"type": "direct"}}
        )
    messages.says(given, look, stop="tool_use")
    calls = [each for each in await asked(model) if isinstance(each, CallDone)]
    click = {"type": "click", "button": "left", "x": 3, "y": 4, "keys": ["ctrl+shift"]}
    assert [json.loads(each.parts[0]) for each in calls] == [[click], [{"type": "screenshot"}]]
    (entry,) = messages.requests[0]["tools"]
    assert entry["configs"]["left_mouse_down"] == {"enabled": False}
    output = {"type": "computer_screenshot", "image_url": DOT}
    messages.says(text("Done."))
    await asked(model, item(click), {"type": "computer_call_output", "call_id": "toolu_1", "output": output})
    called, result = messages.requests[1]["messages"][-2:]
    assert called["content"][0] == given
    assert result["content"][0]["content"][1]["source"]["data"] == "AA=="


async def test_older_tool_and_the_function_follow(messages: MessagesServer, model: AnthropicModel) -> None:
    messages.refuses(400, "invalid_request_error", "tools.0: Input tag 'computer_toolset_20260801' found")
    messages.refuses(400, "invalid_request_error", "'claude-test' does not support: computer_20251124")
    messages.says(use("toolu_1", "computer", {"actions": [{"type": "wait"}]}), stop="tool_use")
    deltas = await asked(model)
    assert [json.loads(each.parts[0]) for each in deltas if isinstance(each, CallDone)] == [
        [{"type": "wait"}]
    ]
    kinds = [each["tools"][0].get("type") for each in messages.requests]
    assert kinds == ["computer_toolset_20260801", TOOL, None]
    assert [each.get("anthropic-beta") for each in messages.headers] == [None, BETA, None]
    entry = messages.requests[1]["tools"][0]
    assert (entry["display_width_px"], entry["display_height_px"]) == (1000, 800)


async def test_missing_actions_are_explained(messages: MessagesServer, model: AnthropicModel) -> None:
    block = use("toolu_1", "left_mouse_down", {})
    messages.says({**block, "toolset_name": "computer"}, stop="tool_use")
    (rejected,) = [each for each in await asked(model) if isinstance(each, RejectedCall)]
    assert "left_click_drag" in rejected.why


def test_specs_fit_the_types_of_the_package() -> None:
    (entry,) = TOOLS
    TypeAdapter(anthropic_types.ComputerToolset20260801Param).validate_python(spec_of(entry, "toolset"))
    TypeAdapter(anthropic_types.beta.BetaToolComputerUse20251124Param).validate_python(spec_of(entry, "tool"))


@pytest.mark.parametrize(
    "action",
    [
        {"action": "left_click", "coordinate": [1, 2]},
        {"action": "right_click", "coordinate": [1, 2]},
        {"action": "middle_click", "coordinate": [1, 2], "text": "shift"},
        {"action": "double_click", "coordinate": [1, 2]},
        {"action": "triple_click", "coordinate": [1, 2]},
        {"action": "mouse_move", "coordinate": [1, 2]},
        {"action": "left_click_drag", "start_coordinate": [1, 2], "coordinate": [3, 4]},
        {"action": "key", "text": "ctrl+s"},
        {"action": "hold_key", "text": "shift", "duration": 2},
        {"action": "scroll", "coordinate": [1, 2], "scroll_direction": "up", "scroll_amount": 3},
        {"action": "type", "text": "Grüße"},
        {"action": "wait", "duration": 1},
        {"action": "screenshot"},
    ],
    ids=lambda each: each["action"],
)
def test_action_comes_back_as_it_was(action: dict[str, Any]) -> None:
    (part,) = COMPUTER.read_arguments("c", json.dumps(action)).parts
    called = item(*json.loads(part))
    assert use_of(called, "tool") == {"name": "computer", "input": action}
    of_set = use_of(called, "toolset")
    assert of_set is not None
    block = {"type": "tool_use", "id": "toolu_1", "caller": {"type": "direct"}, **of_set}
    TypeAdapter(anthropic_types.ComputerToolUseBlock).validate_python(block)
