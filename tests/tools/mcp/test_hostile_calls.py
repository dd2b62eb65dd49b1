"""MCP servers that answer calls badly, or leave: remote ones and ones in the container."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import aclosing
from typing import Any

import pytest

from agent_kernel.tools.mcp.connection import McpFailure
from agent_kernel.tools.mcp.servers import McpLimits, TurnServers
from agent_kernel.tools.mcp.spec import read_server
from agent_kernel.tools.outbound import AllowedHosts
from tests.runtime.played import Upstream, call
from tests.tools.mcp.conftest import Make, loopback
from tests.tools.mcp.served import Called, counting, served
from tests.tools.mcp.test_failures import answering, hostile
from tests.tools.mcp.test_inside import inside
from tests.tools.mcp.test_turns import entry, events_of, outputs, told

pytestmark = [pytest.mark.bubblewrap, pytest.mark.shown_on()]


async def shown(_: Any) -> None:
    """Take progress, and do nothing with it."""


TOOL = {"name": "go", "inputSchema": {"type": "object"}}
TEXT = {"type": "text", "text": "ok"}


def deep(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"a": value}
    return value


WRONG: dict[str, Any] = {
    "no result": None,
    "a list": [1, 2],
    "text for content": {"content": "ok"},
    "a number for content": {"content": 5},
    "an unknown part": {"content": [{"type": "hologram", "x": 1}]},
    "a number for text": {"content": [{"type": "text", "text": 5}]},
    "a picture that is no string": {"content": [{"type": "image", "data": 5, "mimeType": "image/png"}]},
    "an error that is a word": {"content": [TEXT], "isError": "maybe"},
    "a link without an address": {"content": [{"type": "resource_link", "name": "x"}]},
}


async def test_results_of_wrong_types_fail_and_the_turn_goes_on(runtime: Make, upstream: Upstream) -> None:
    given = iter(WRONG.values())
    app = answering(hostile([TOOL], **{"tools/call": lambda _: next(given)}))
    for number, _ in enumerate(WRONG):
        upstream.says(call(0, "calc__go", {}, f"c{number}"), finish="tool_calls")
    upstream.says({"content": "all bad"})
    async with served(app) as url, runtime(turn_settings=loopback(url)) as running:
        events = await events_of(running, "go", entry(f"{url}/mcp"))
    made = [item for item in outputs(events) if item["type"] == "mcp_call"]
    assert [item["status"] for item in made] == ["failed"] * len(WRONG)
    assert all(item["error"]["message"] for item in made)
    assert outputs(events)[-1]["content"][0]["text"] == "all bad"


async def test_large_results_are_bounded(runtime: Make, upstream: Upstream) -> None:
    big = "x" * 1_000_000
    picture = {"type": "image", "data": "A" * (9 << 20), "mimeType": "image/png"}
    results = iter(
        [
            {"content": [{"type": "text", "text": big}]},
            {"content": [TEXT] * 5000},
            {"content": [picture]},
            {"content": [TEXT], "structuredContent": deep(150)},
            {"content": [TEXT], "structuredContent": {"a": big}},
            {"content": [{"type": "text", "text": "x" * (33 << 20)}]},
        ]
    )
    app = answering(hostile([TOOL], **{"tools/call": lambda _: next(results)}))
    for number in range(6):
        upstream.says(call(0, "calc__go", {}, f"c{number}"), finish="tool_calls")
    upstream.says({"content": "done"})
    async with served(app) as url, runtime(turn_settings=loopback(url)) as running:
        events = await events_of(running, "go", entry(f"{url}/mcp"))
    made = [item for item in outputs(events) if item["type"] == "mcp_call"]
    assert [item["status"] for item in made] == ["completed"] * 5 + ["failed"]
    assert all(len(json.dumps(item)) < 250_000 for item in made)
    assert "characters left out" in made[0]["output"]
    assert "4900 more parts left out" in made[1]["output"]
    assert "too large to keep" in made[2]["output"]
    assert "nested too deeply" in made[3]["output"]
    assert "too much" in made[5]["error"]["message"]


def breaking_off(kind: bytes, begun: bytes) -> Any:
    """An app that begins to answer calls and then closes the connection."""
    whole = answering(hostile([TOOL]))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await whole(scope, receive, send)
            return
        message = await receive()
        if b'"tools/call"' not in message.get("body", b""):
            again = iter([message])

            async def received() -> Any:
                return next(again, None) or await receive()

            await whole(scope, received, send)
            return
        headers = [(b"content-type", kind), *([] if b"event" in kind else [(b"content-length", b"500")])]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": begun, "more_body": True})
        raise ConnectionError("the server dies")

    return app


@pytest.mark.parametrize(
    ("kind", "begun"),
    [(b"application/json", b'{"jsonrpc": "2.0", "id'), (b"text/event-stream", b"event: message\ndata: {")],
)
async def test_a_server_that_dies_in_a_call(
    runtime: Make, upstream: Upstream, kind: bytes, begun: bytes
) -> None:
    upstream.says(call(0, "calc__go", {}), finish="tool_calls")
    upstream.says({"content": "It died."})
    async with (
        served(breaking_off(kind, begun)) as url,
        runtime(turn_settings=loopback(url, call=20)) as running,
    ):
        async with asyncio.timeout(15):
            events = await events_of(running, "go", entry(f"{url}/mcp"))
    made = outputs(events)[1]
    assert (made["status"], made["output"]) == ("failed", None)
    assert made["error"]["type"] in ("http_error", "mcp_protocol_error")
    assert "The call failed" in told(upstream)


async def test_a_cancelled_turn_cancels_its_call(
    runtime: Make, upstream: Upstream, calc: str, called: Called
) -> None:
    upstream.says(call(0, "calc__hangs", {}), finish="tool_calls")
    async with runtime(turn_settings=loopback(calc)) as running:
        request = {"input": "go", "tools": [entry(f"{calc}/mcp")]}
        async with aclosing(running.respond(request)) as events:
            begun: Any = await anext(events)
            async for event in events:
                if event.type == "response.mcp_call_arguments.done":
                    break
            async with asyncio.timeout(20):
                await called.waiting.wait()
        async with asyncio.timeout(20):
            await called.cancelled.wait()
        earlier = begun.response.id
        row = await running.retrieve(earlier)
        upstream.says({"content": "still here"})
        more = await events_of(running, "and?", entry(f"{calc}/mcp"), previous_response_id=earlier)
    assert row.status == "incomplete"
    assert row.output[-1].type == "mcp_call"
    assert getattr(row.output[-1], "status", None) == "incomplete"
    assert [item["type"] for item in outputs(more)] == ["message"]
    assert "did not run to its end" in json.dumps(upstream.requests[-1])


async def test_a_changed_list_in_the_newest_protocol(runtime: Make, called: Called) -> None:
    app = counting(called).streamable_http_app()
    async with served(app) as url:
        server, _ = read_server(entry(f"{url}/mcp"), 0)
        servers = TurnServers(McpLimits(AllowedHosts.parse([url.replace("http", "tcp")], param="hosts")))
        try:
            before = {tool.name for tool in await servers.tools(server)}
            connection = servers.connection(server)
            assert not servers.changed(server)
            await servers.call(server, "grows", {}, shown)
            async with asyncio.timeout(20):
                await connection.changed.wait()
            assert servers.changed(server)
            assert not servers.changed(server)
            after = {tool.name for tool in await servers.tools(server)}
        finally:
            await servers.close()
    assert after - before == {"grown"}


BAD = r"""
import json, sys
how = sys.argv[1]
def say(value):
    print(value if isinstance(value, str) else json.dumps(value), flush=True)
say("\x00\xff noise {")
say('{"jsonrpc": "2.0", "id": ' + "[" * 100000)
say({"jsonrpc": "2.0", "id": "0", "result": {}})
say({"jsonrpc": "2.0", "method": 5, "params": []})
say({"jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage", "params": "x"})
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked or "method" not in asked:
        continue
    method, answer = asked["method"], {"jsonrpc": "2.0", "id": asked["id"]}
    if method == "initialize":
        answer["result"] = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                            "serverInfo": {"name": "s", "version": "1"}}
    elif method == "tools/list":
        if how == "silent list":
            continue
        answer["result"] = {"tools": [{"name": "go", "inputSchema": {"type": "object"}}],
                            **({"nextCursor": "again"} if how == "endless" else {})}
    elif method != "tools/call":
        answer["error"] = {"code": -32601, "message": "no"}
    elif how == "one line":
        while True:
            sys.stdout.write("x" * 1000000)
    elif how == "silent call":
        continue
    elif how == "progress":
        token = asked["params"]["_meta"]["progressToken"]
        for n in range(2000):
            about = {"progressToken": token, "progress": n, "message": "m" * 5000}
            say({"jsonrpc": "2.0", "method": "notifications/progress", "params": about})
        answer["result"] = {"content": [{"type": "text", "text": "whole"}]}
    say(answer)
"""


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("silent list", "did not answer within 2 seconds"),
        ("endless", "more than 100 pages"),
        ("one line", "sent too much"),
        ("silent call", "did not answer within 2 seconds"),
        ("progress", "whole"),
    ],
)
async def test_a_server_in_the_container_misbehaves(
    runtime: Make, upstream: Upstream, how: str, said: str
) -> None:
    limits = {"connect": 2.0} if how == "silent list" else {"call": 2.0} if how == "silent call" else {}
    upstream.says(call(0, "db__go", {}), finish="tool_calls")
    upstream.says({"content": "ok"})
    async with runtime(turn_settings=loopback(**limits)) as running:
        events = await events_of(running, "go", inside("python3", "-c", BAD, how))
    assert said in json.dumps(outputs(events)) + json.dumps(events[-1]["response"]["error"])
    assert (events[-1]["type"] == "response.failed") == (how in ("silent list", "endless"))


HIDE = """
import sys
for name in ("mcp", "mcp_types"):
    sys.modules[name] = None
import importlib.util
from agent_kernel.errors import InvalidRequest
from agent_kernel.tools.mcp.servers import McpLimits, TurnServers
from agent_kernel.tools.request import read_tools
import agent_kernel.runtime.local
(entry,) = read_tools([{"type": "mcp", "server_label": "x", "server_url": "https://h.example/mcp"}])
try:
    TurnServers(McpLimits()).check(entry.private)
except InvalidRequest as error:
    print(error)
"""


def test_without_the_package_a_request_is_refused() -> None:
    done = subprocess.run([sys.executable, "-c", HIDE], capture_output=True, text=True, timeout=100)
    assert "package `mcp` is not installed" in done.stdout, done.stderr
    assert "jupyter-agent-kernel[mcp]" in done.stdout


@pytest.mark.parametrize(
    "secret",
    [
        {"authorization": "hunter2"},
        {"headers": {"X-Key": "hunter2"}},
        {"server_url": "https://h.example/hunter2"},
    ],
)
def test_a_stored_entry_has_no_credentials_to_send(secret: dict[str, Any]) -> None:
    sent, shown = read_server({**entry("https://h.example/mcp"), **secret}, 0)
    stored, again = read_server(shown, 0)
    assert not sent.forgotten
    assert stored.forgotten
    assert "hunter2" not in json.dumps(shown) + repr(sent)
    assert again == shown


async def test_a_stored_request_reaches_no_server(calc: str, called: Called) -> None:
    _, shown = read_server(entry(f"{calc}/mcp", authorization="hunter2"), 0)
    server, _ = read_server(shown, 0)
    servers = TurnServers(McpLimits(AllowedHosts.parse([calc.replace("http", "tcp")], param="hosts")))
    servers.check(server)
    with pytest.raises(McpFailure, match="send the request again"):
        await servers.tools(server)
    await servers.close()
    assert called.headers == []
