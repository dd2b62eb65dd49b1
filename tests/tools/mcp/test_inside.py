"""MCP servers that run in the turn's container and speak over stdio."""

from __future__ import annotations

from typing import Any

import pytest

from agent_kernel.sandboxes.base import Backend
from agent_kernel.tools.mcp.inside import program_name
from tests.runtime.played import Upstream, call
from tests.tools.mcp.conftest import Make
from tests.tools.mcp.test_turns import events_of, outputs

SERVER = r"""
import json, os, sys
count = 0
print("noise on stdout")
print("[1, 2]")
print("more noise", file=sys.stderr, flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    method, answer = asked["method"], {"jsonrpc": "2.0", "id": asked["id"]}
    if method == "initialize":
        answer["result"] = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                            "serverInfo": {"name": "s", "version": "1"}}
    elif method == "tools/list":
        schema = {"type": "object"}
        answer["result"] = {"tools": [{"name": n, "inputSchema": schema} for n in ("count", "die")]}
    elif method == "tools/call" and asked["params"]["name"] == "count":
        count += 1
        old = {"content": [{"type": "text", "text": "an answer to an earlier turn"}]}
        print(json.dumps({"jsonrpc": "2.0", "id": 3, "result": old}))
        answer["result"] = {"content": [{"type": "text", "text": f"{count} in {os.getcwd()}"}]}
    elif method == "tools/call":
        sys.exit("out of memory")
    else:
        answer["error"] = {"code": -32601, "message": "no"}
    print(json.dumps(answer), flush=True)
"""

pytestmark = [pytest.mark.bubblewrap, pytest.mark.shown_on()]


def inside(*command: str, **fields: Any) -> dict[str, Any]:
    own = {"command": list(command)}
    return {"type": "mcp", "server_label": "db", "require_approval": "never", "agent_kernel": own, **fields}


async def test_a_server_in_the_container_keeps_its_state(
    runtime: Make, upstream: Upstream, bubblewrap_backend: Backend
) -> None:
    tool = inside("python3", "-c", SERVER)
    async with runtime() as running:
        upstream.says(call(0, "db__count", {}), finish="tool_calls")
        upstream.says({"content": "one"})
        first = await events_of(running, "count", tool)
        upstream.says(call(0, "db__count", {}), finish="tool_calls")
        upstream.says({"content": "two"})
        earlier = first[-1]["response"]["id"]
        second = await events_of(running, "again", tool, previous_response_id=earlier)
        upstream.says(call(0, "db__die", {}), finish="tool_calls")
        upstream.says(call(0, "db__count", {}, "c2"), finish="tool_calls")
        upstream.says({"content": "it starts again"})
        earlier = second[-1]["response"]["id"]
        third = await events_of(running, "die", tool, previous_response_id=earlier)
        containers = await running.containers.list(limit=10)
    assert [item["type"] for item in outputs(first)] == ["mcp_list_tools", "mcp_call", "message"]
    assert outputs(first)[1]["output"] == "1 in /mnt/data"
    assert outputs(second)[0]["output"] == "2 in /mnt/data"
    died, again = outputs(third)[:2]
    assert died["error"]["message"] == "Its program ended with exit code 1: out of memory"
    assert again["output"] == "1 in /mnt/data"
    assert len(containers.data) == 1
    assert outputs(first)[1]["agent_kernel"] == {"container_id": containers.data[0].id}
    assert first[-1]["response"]["tools"][0]["agent_kernel"] == {"command": ["python3", "-c", SERVER]}
    used = first[-1]["response"]["agent_kernel"]["compute"]
    assert used["bytes_out"] == 0
    if bubblewrap_backend.capabilities().metering:
        assert used["cpu_seconds"] > 0, "the server's calls are metered as commands are"


async def test_a_program_that_is_no_server(runtime: Make, upstream: Upstream) -> None:
    async with runtime() as running:
        events = await events_of(running, "hi", inside("sh", "-c", "echo sorry >&2; exit 3"))
        other = await events_of(running, "hi", inside("no-such-program"))
    assert events[-1]["response"]["error"]["message"].endswith("ended with exit code 3: sorry")
    assert other[-1]["type"] == "response.failed"
    assert "'db'" in other[-1]["response"]["error"]["message"]


def test_another_command_is_another_program() -> None:
    from agent_kernel.tools.mcp.spec import read_server

    one, two = (read_server(inside("python3", each), 0)[0] for each in ("a.py", "b.py"))
    assert program_name(one) != program_name(two)
