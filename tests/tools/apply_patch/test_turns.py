"""The tool `apply_patch` in whole turns: items, events, the container, models, and the client."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from openai.types.responses import ResponseApplyPatchToolCall, ResponseApplyPatchToolCallOutput

from agent_kernel.errors import InvalidRequest, MalformedCall
from agent_kernel.policy.rules import Policy, Rule
from agent_kernel.protocol.items import to_json
from agent_kernel.sandboxes.base import Backend
from agent_kernel.tools.apply_patch.tool import APPLY_PATCH
from agent_kernel.tools.request import read_tools
from tests.runtime.played import Upstream, call, runtime_on, turns_of
from tests.tools.accumulated import check_stream
from tests.tools.test_toy import SHELL, Json, Make, events_of, opened

SCRIPT = f"scripted/{Path(__file__).parent / 'patches.yaml'}"
PATCH = {"type": "apply_patch", "agent_kernel": {"environment": {"type": "container_auto"}}}
TOOLS: Json = {"tools": [SHELL, PATCH]}
DIFF = "response.apply_patch_call_operation_diff"

pytestmark = pytest.mark.bubblewrap


@pytest.fixture
def runtime(bubblewrap_backend: Backend, tmp_path: Path) -> Make:
    return partial(opened, bubblewrap_backend, tmp_path, SCRIPT)


def patches_in(events: list[Json]) -> list[Json]:
    """Check a whole stream, and return the items of patches."""
    found = []
    for item, of_item in check_stream(events, beyond=(DIFF,)):
        order = list(dict.fromkeys(event["type"].removeprefix("response.") for event in of_item))
        if item["type"] == "apply_patch_call":
            ResponseApplyPatchToolCall.model_validate(item)
            middle = [f"{DIFF}.{end}".removeprefix("response.") for end in ("delta", "done")]
            is_delete = item["operation"]["type"] == "delete_file"
            assert order == ["output_item.added", *([] if is_delete else middle), "output_item.done"]
            added, operation = of_item[0]["item"], item["operation"]
            assert added["operation"] == {**operation, **({} if is_delete else {"diff": ""})}
            assert "".join(each.get("delta", "") for each in of_item) == operation.get("diff", "")
        elif item["type"] == "apply_patch_call_output":
            ResponseApplyPatchToolCallOutput.model_validate(item)
            assert order == ["output_item.added", "output_item.done"]
        else:
            continue
        found.append(item)
    return found


async def test_patches_are_applied_in_the_container(runtime: Make) -> None:
    async with runtime() as running:
        events = await events_of(running, "write and change", **TOOLS)
        first = events[-1]["response"]
        _, created, update, moved = patches_in(events)
        assert (created["status"], created["output"]) == ("completed", "Created a.py (2 lines).")
        assert moved["output"] == "Moved a.py to b.py (+1 -1)."
        printed = next(item for item in first["output"] if item["type"] == "shell_call_output")["output"][0]
        assert printed["stdout"] == "x = 3\ny = 2\nb.py\n"
        container = first["tools"][1]["agent_kernel"]["environment"]
        assert update["agent_kernel"] == {"container_id": container["container_id"], "move_to": "b.py"}
        assert container == first["tools"][0]["environment"]
        events = await events_of(running, "what fails", **TOOLS, previous_response_id=first["id"])
        results = patches_in(events)[1::2]
        assert [each["status"] for each in results] == ["failed", "failed", "completed"]
        assert results[0]["output"].startswith("The diff does not fit b.py, which is unchanged: ")
        assert "outside of /mnt/data" in results[1]["output"]
        printed = next(
            item for item in events[-1]["response"]["output"] if item["type"] == "shell_call_output"
        )
        assert printed["output"][0]["stdout"] == "0\nintact\n"


async def test_policy_denies_a_patch(runtime: Make) -> None:
    policy = Policy("allow", (Rule("deny", command="apply_patch delete_file *"),))
    async with runtime(approval=policy) as running:
        events = await events_of(running, "what fails", **TOOLS)
    assert [each["status"] for each in patches_in(events)[1::2]] == ["failed"] * 3
    assert "outside" not in patches_in(events)[3]["output"]


async def test_approved_patch_is_applied(runtime: Make) -> None:
    policy = Policy("allow", (Rule("ask", command="apply_patch create_file *"),))
    async with runtime(approval=policy) as running:
        asked = (await events_of(running, "write and change", **TOOLS))[-1]["response"]
        request = next(item for item in asked["output"] if item["type"] == "mcp_approval_request")
        answer = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": True}
        events = await events_of(running, [answer], **TOOLS, previous_response_id=asked["id"])
    output = next(each for each in patches_in(events) if each["type"] == "apply_patch_call_output")
    assert (output["status"], output["output"]) == ("completed", "Created a.py (2 lines).")


async def test_client_applies_patches_as_in_the_api(
    upstream: Upstream, bubblewrap_backend: Backend, tmp_path: Path
) -> None:
    operation = {"type": "update_file", "path": "a.py", "diff": "-x\n+y"}
    item = {"type": "apply_patch_call", "id": "apc_1", "call_id": "c1", "status": "completed"}
    tools = [{"type": "apply_patch"}]
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path) as running:
        turn = turns_of(running)
        upstream.says(call(0, "apply_patch", operation, "c1"), finish="tool_calls")
        first = to_json(await turn("Go.", model="chat/m", tools=tools))
        (called,) = first["output"]
        assert (called["type"], called["operation"]) == ("apply_patch_call", operation)
        assert first["tools"] == tools
        upstream.says({"content": "Done."})
        output = {"type": "apply_patch_call_output", "call_id": "c1", "status": "failed", "output": "No."}
        await turn([output], model="chat/m", tools=tools, previous_response_id=first["id"])
        assert upstream.requests[-1]["messages"][-1] == {
            "role": "tool", "tool_call_id": "c1", "content": "No.",
        }  # fmt: skip
        upstream.responds({**item, "operation": operation})
        native = to_json(await turn("Go.", model="responses/m", tools=tools))
        assert native["output"][0]["operation"] == operation


@pytest.mark.parametrize(
    ("ours", "param"),
    [
        ({}, "tools[0].agent_kernel"),
        ({"environment": {"type": "nowhere"}}, "tools[0].environment.type"),
        (3, "tools[0].agent_kernel"),
    ],
)
def test_malformed_entry_is_refused(ours: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_tools([{"type": "apply_patch", "agent_kernel": ours}])
    assert caught.value.param == param


@pytest.mark.parametrize(
    "arguments",
    [
        {"type": "update_file", "path": "a"},
        {"type": "update", "path": "a", "diff": ""},
        {"type": "update_file", "diff": "+x"},
        {"type": "create_file", "path": "a", "diff": "+x", "move_to": "b"},
        {"type": "create_file", "path": "a", "diff": "+\ud800"},
        {"type": "create_file", "path": "a", "diff": "+x", "mode": "0777"},
        {"type": "create_file", "path": "a", "diff": "+" * 1_000_001},
    ],
)
def test_malformed_call_is_explained(arguments: Json) -> None:
    with pytest.raises(MalformedCall):
        APPLY_PATCH.read_arguments("c1", json.dumps(arguments))


def test_pieces_of_arguments_show_the_diff() -> None:
    arguments = json.dumps({"type": "update_file", "path": "a.py", "diff": "-x\n+y\n"})
    live = APPLY_PATCH.live_call("c1")
    deltas = [delta for letter in arguments for delta in live.write(letter)]
    assert "".join(delta.text for delta in deltas) == "-x\n+y\n"
    assert len(deltas) > 3
    assert deltas[0].labels == live.done().labels == {"operation": {"type": "update_file", "path": "a.py"}}
