"""`%mcp`: servers are added, offered to the model, listed and removed; calls are rendered."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.asking.approvals import _read
from agent_kernel.kernel.magics.mcp import servers
from agent_kernel.kernel.offers.servers import MOST, NotebookServers
from agent_kernel.kernel.render.items import render_item
from agent_kernel.tools.request import read_tools


class Outputs:
    """The results of magics, as plain text."""

    def __init__(self) -> None:
        self.plain: list[str] = []

    def result(self, bundle: Any) -> None:
        self.plain.append(bundle.data["text/plain"])


async def run(mine: NotebookServers, *lines: str) -> list[str]:
    notebook: Any = SimpleNamespace(servers=mine)
    outputs: Any = Outputs()
    for line in lines:
        await servers(notebook, outputs, line)
    return list(outputs.plain)


async def test_servers_are_added_listed_and_removed() -> None:
    mine = NotebookServers()
    secret = "https://mcp.example.com/hunter2/mcp?key=hunter2"
    said = await run(mine, "add db npx -y 'some server'", f"add docs {secret}", "")
    assert said[0] == "The agent can use the tools of `db`, in the container."
    assert said[1].startswith("The agent can use the tools of `docs`, at `mcp.example.com`. You are asked")
    assert "in the container: npx -y some server" in said[2]
    assert "hunter2" not in "".join(said)
    local, remote = read_tools(mine.tools())
    assert local.private.command == ("npx", "-y", "some server")
    assert not local.private.approval.asks("x", False)
    assert remote.private.url == secret
    assert remote.private.approval.asks("x", True)
    assert local.private.progress
    said = await run(mine, "remove db", "remove docs", "")
    assert said == [
        "Removed `db`.",
        "Removed `docs`.",
        "There are no MCP servers. `%mcp add NAME COMMAND` adds one.",
    ]
    assert mine.tools() == []


def test_a_notebook_has_a_bounded_number_of_servers() -> None:
    mine = NotebookServers()
    for number in range(MOST):
        mine.add(f"s{number}", ["run"])
    mine.add("s0", ["again"])
    with pytest.raises(InvalidRequest, match="can have"):
        mine.add("more", ["run"])


def test_a_call_of_a_remote_server_is_asked_about() -> None:
    item = {"id": "mcpr_1", "type": "mcp_approval_request", "server_label": "docs", "name": "query"}
    request = _read({**item, "arguments": '{"reason": "shown too"}'})
    assert request is not None
    assert request.commands == ('docs: query {"reason": "shown too"}',)
    assert not request.editable


CALL = {
    "type": "mcp_call",
    "id": "mcp_1",
    "server_label": "db",
    "name": "query",
    "arguments": json.dumps({"sql": "select <b>1</b>"}),
    "output": "one row\x1b[31m",
    "error": None,
    "status": "completed",
}


def shown(item: dict[str, Any]) -> tuple[str, str]:
    bundle = render_item(item)
    assert bundle is not None
    return bundle.data["text/plain"], bundle.data["text/html"]


def test_a_call_shows_its_arguments_and_its_result() -> None:
    plain, html = shown(CALL)
    assert plain.split("\n")[0] == "db: query"
    assert '"sql": "select <b>1</b>"' in plain
    assert plain.endswith("one row")
    assert "<b>1</b>" not in html


def test_a_failed_call_and_an_odd_one_are_shown() -> None:
    error = {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": "out of paper"}]}
    plain, _ = shown({**CALL, "status": "failed", "output": None, "error": error})
    assert plain.split("\n")[0] == "db: query (failed)"
    assert plain.endswith("out of paper")
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    for odd in (None, 5, deep, {"content": deep}, ["x"]):
        assert shown({**CALL, "arguments": odd, "output": odd, "error": odd, "name": odd, "status": odd})[0]


def test_a_list_is_one_line() -> None:
    tools = [{"name": "a"}, {"name": "<b>"}, "odd"]
    plain, html = shown({"type": "mcp_list_tools", "server_label": "db", "tools": tools})
    assert plain == "db has 2 tools"
    assert "a, &lt;b&gt;" in html
    failed = {"type": "mcp_list_tools", "server_label": "db", "tools": [], "error": "It ended."}
    assert shown(failed)[0] == "The tools of db could not be listed: It ended."
