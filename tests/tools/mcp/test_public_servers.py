"""Other people's MCP servers: npm's reference server by each transport, and a file server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.containers.containers import ContainerOptions
from agent_kernel.runtime.containers.resources import Allowed
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.sandboxes.mounts import HostMount
from tests.runtime.played import Upstream, call
from tests.tools.mcp.conftest import Make, loopback
from tests.tools.mcp.programs import EVERYTHING, FILESYSTEM, everything, folder_of
from tests.tools.mcp.test_inside import inside
from tests.tools.mcp.test_turns import Json, entry, events_of, outputs

pytestmark = [pytest.mark.bubblewrap, pytest.mark.shown_on(), pytest.mark.timeout(600)]

CALLS: dict[str, dict[str, Any]] = {
    "echo": {"message": "hello"},
    "get-annotated-message": {"messageType": "success", "includeImage": True},
    "get-env": {},
    "get-resource-links": {"count": 2},
    "get-resource-reference": {"resourceType": "Text", "resourceId": 1},
    "get-structured-content": {"location": "Chicago"},
    "get-sum": {"a": 2, "b": 3},
    "get-tiny-image": {},
    "gzip-file-as-resource": {"data": "data:text/plain,hello", "outputType": "resource"},
    "simulate-research-query": {"topic": "rain"},
    "toggle-simulated-logging": {},
    "toggle-subscriber-updates": {},
    "trigger-elicitation-request": {},
    "trigger-long-running-operation": {"duration": 0.2, "steps": 4},
    "trigger-url-elicitation": {"url": "https://page.example/consent"},
}
SAYS = {
    "echo": "Echo: hello",
    "get-annotated-message": "Operation completed successfully",
    "get-env": "PATH",
    "get-resource-links": "[resource: Text Resource 2 ",
    "get-resource-reference": "[resource: demo://",
    "get-structured-content": '{"temperature":36,"conditions":"Light rain / drizzle","humidity":82}',
    "get-sum": "The sum of 2 and 3 is 5.",
    "get-tiny-image": "[image: image/png, ",
    "gzip-file-as-resource": "(binary)",
    "toggle-simulated-logging": "logging",
    "toggle-subscriber-updates": "updates",
    "trigger-elicitation-request": "Ada",
    "trigger-long-running-operation": "Long running operation completed",
    "trigger-url-elicitation": "https://page.example/consent",
}


@pytest.fixture(scope="module", params=["streamableHttp", "sse"])
def reference(request: pytest.FixtureRequest, node: Path) -> Iterator[str]:
    """The address of the reference server's end point."""
    with everything(request.param) as url:
        yield f"{url}/{'sse' if request.param == 'sse' else 'mcp'}"


def answer_to(item: Json) -> Json:
    """What the user says to a question of the server."""
    asked = json.loads(item["arguments"])
    content = {"name": "Ada", "integer": 7} if "schema" in asked else None
    return {
        "approval_request_id": item["id"],
        "approve": True,
        **({"agent_kernel": {"content": content}} if content else {}),
    }


async def asked_events(runtime: LocalRuntime, tool: Json) -> list[Json]:
    """The events of a turn whose questions are answered."""
    request = {"input": "all", "tools": [tool], "agent_kernel": {"answers": True}}
    found: list[Json] = []
    async with aclosing(runtime.respond(request)) as events:
        async for event in events:
            found.append(to_json(event))
            item = found[-1].get("item", {})
            if found[-1]["type"].endswith("item.done") and item["type"] == "mcp_approval_request":
                await runtime.answer(found[0]["response"]["id"], answer_to(item))
    return found


async def test_all_tools_of_the_reference_server(runtime: Make, upstream: Upstream, reference: str) -> None:
    for number, (name, arguments) in enumerate(CALLS.items()):
        upstream.says(call(0, f"all__{name}", arguments, f"c{number}"), finish="tool_calls")
    upstream.says({"content": "done"})
    address = reference.rpartition("/")[0]
    async with runtime(turn_settings=loopback(address)) as running:
        events = await asked_events(running, entry(reference, "all", agent_kernel={"progress": True}))
    found = outputs(events)
    made = {item["name"]: item for item in found if item["type"] == "mcp_call"}
    assert {tool["name"] for tool in found[0]["tools"]} == set(CALLS) == set(made)
    assert "requires task augmentation" in str(made.pop("simulate-research-query")["error"])
    assert {name: item["status"] for name, item in made.items()} == dict.fromkeys(SAYS, "completed")
    wrong = {name: made[name]["output"] for name, said in SAYS.items() if said not in made[name]["output"]}
    assert wrong == {}
    assert made["get-tiny-image"]["agent_kernel"]["content"][0]["mime_type"] == "image/png"
    progress = [each for each in events if each["type"] == "agent_kernel.mcp_call.progress"]
    assert [each["progress"] for each in progress] == [1, 2, 3, 4]
    asked = [item for item in found if item["type"] == "mcp_approval_request"]
    answered = [item for item in found if item["type"] == "mcp_approval_response"]
    assert [item["name"] for item in asked] == ["elicitation", "elicitation"]
    assert [item["approve"] for item in answered] == [True, True]
    assert "Ada" not in json.dumps(answered)
    assert found[-1]["content"][0]["text"] == "done"


async def test_a_question_is_declined_if_no_one_answers(
    runtime: Make, upstream: Upstream, reference: str
) -> None:
    upstream.says(call(0, "all__trigger-elicitation-request", {}), finish="tool_calls")
    upstream.says({"content": "done"})
    async with runtime(turn_settings=loopback(reference.rpartition("/")[0])) as running:
        events = await events_of(running, "ask", entry(reference, "all"))
    assert [item["type"] for item in outputs(events)] == ["mcp_list_tools", "mcp_call", "message"]
    assert "User declined" in outputs(events)[1]["output"]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory, node: Path) -> HostMount:
    """A folder with Node and both servers, which a container can mount."""
    folder = tmp_path_factory.mktemp("npm") / "programs"
    return HostMount("programs", str(folder_of(folder, EVERYTHING, FILESYSTEM).resolve()))


async def test_servers_from_npm_in_the_container(
    runtime: Make, upstream: Upstream, programs: HostMount
) -> None:
    program = f"{programs.target}/node"
    every, files = (
        f"{programs.target}/node_modules/{name}/dist/index.js" for name in (EVERYTHING, FILESYSTEM)
    )
    tools = [
        {**inside(program, every, "stdio"), "server_label": "every"},
        {**inside(program, files, "/mnt/data"), "server_label": "files"},
    ]
    said = {"path": "/mnt/data/note.txt", "content": "written by a server"}
    upstream.says(call(0, "files__write_file", said, "c1"), finish="tool_calls")
    upstream.says(call(0, "files__read_text_file", {"path": said["path"]}, "c2"), finish="tool_calls")
    upstream.says(call(0, "files__read_text_file", {"path": "/etc/passwd"}, "c3"), finish="tool_calls")
    upstream.says(call(0, "every__get-tiny-image", {}, "c4"), finish="tool_calls")
    upstream.says({"content": "done"})
    options = ContainerOptions(allowed=Allowed(mounts={"programs": programs}))
    async with runtime(container_settings=options) as running:
        created = await running.containers.create({"agent_kernel": {"mounts": ["programs"]}})
        place = {"type": "container_reference", "container_id": created.id}
        events = await events_of(running, "go", {"type": "shell", "environment": place}, *tools)
        written = await running.containers.files.list(created.id)
    made = [item for item in outputs(events) if item["type"] == "mcp_call"]
    assert "Successfully wrote" in made[0]["output"]
    assert "written by a server" in made[1]["output"]
    assert "Access denied" in str(made[2]["error"])
    assert made[3]["agent_kernel"]["content"][0]["type"] == "image"
    assert [each.path for each in written.data] == ["/mnt/data/note.txt"]
