"""What servers ask the user during a call, and what they ask of a model."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from mcp import MCPError
from mcp.server.mcpserver import Context, MCPServer
from mcp_types import SamplingMessage, TextContent
from pydantic import BaseModel

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.tools.mcp.elicitation import ServerQuestion, read_values
from tests.runtime.played import Upstream, call
from tests.tools.mcp.conftest import Make, loopback
from tests.tools.mcp.served import served
from tests.tools.mcp.test_turns import Json, entry, outputs

pytestmark = [pytest.mark.bubblewrap, pytest.mark.shown_on()]


class Booking(BaseModel):
    seats: int
    window: bool = False


def asking() -> MCPServer:
    """A server that asks the user and a model."""
    server = MCPServer("asks")

    @server.tool(structured_output=False)
    async def book(ctx: Context) -> str:
        """Ask how many seats."""
        given = await ctx.elicit("How many seats?", schema=Booking)
        return f"{given.action}: {getattr(given, 'data', None)}"

    @server.tool(structured_output=False)
    async def pester(ctx: Context) -> str:
        """Ask without end."""
        said = [(await ctx.elicit("Again?", schema=Booking)).action for _ in range(25)]
        return " ".join(said)

    @server.tool(structured_output=False)
    async def sample(ctx: Context) -> str:
        """Ask a model."""
        message = SamplingMessage(role="user", content=TextContent(type="text", text="hi"))
        try:
            return str(await ctx.session.create_message([message], max_tokens=5))
        except MCPError as error:
            return f"refused: {error}"

    return server


async def turn(
    running: LocalRuntime, url: str, answers: list[Any] | None, *, wait: asyncio.Event | None = None
) -> list[Json]:
    """The items of a turn; `answers` are given to its questions in order."""
    left = list(answers or [])
    tool = entry(f"{url}/sse")
    ours = {"answers": True} if answers is not None else {}
    async with aclosing(running.respond({"input": "go", "tools": [tool], "agent_kernel": ours})) as events:
        found: list[Json] = []
        async for event in events:
            found.append(to_json(event))
            item = found[-1].get("item", {})
            if not found[-1]["type"].endswith("item.done") or item["type"] != "mcp_approval_request":
                continue
            if wait is not None:
                await wait.wait()
            answer = {"approval_request_id": item["id"], **left.pop(0)}
            await running.answer(found[0]["response"]["id"], answer)
    return outputs(found)


async def test_a_question_is_answered_while_the_call_waits(
    runtime: Make, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.says(call(0, "calc__book", {}), finish="tool_calls")
    upstream.says({"content": "booked"})
    late = asyncio.Event()
    asyncio.get_running_loop().call_later(1.5, late.set)  # the time limit stands still meanwhile
    yes = {"approve": True, "agent_kernel": {"content": {"seats": 4321}}}
    async with (
        served(asking().sse_app()) as url,
        runtime(turn_settings=loopback(url, call=1.0)) as running,
    ):
        items = await turn(running, url, [yes], wait=late)
    assert [item["type"] for item in items] == [
        "mcp_list_tools",
        "mcp_call",
        "mcp_approval_request",
        "mcp_approval_response",
        "message",
    ]
    assert items[1]["output"] == "accept: seats=4321 window=False"
    asked = json.loads(items[2]["arguments"])
    assert (items[2]["server_label"], items[2]["name"]) == ("agent_kernel", "elicitation")
    assert (asked["server_label"], asked["message"]) == ("calc", "How many seats?")
    assert set(asked["schema"]["properties"]) == {"seats", "window"}
    assert items[3]["approve"] is True
    audit = (tmp_path / "audit.jsonl").read_text()
    assert "elicitation.answer" in audit
    assert "4321" not in audit.replace(items[1]["output"], "") + json.dumps(items[3])


@pytest.mark.parametrize(
    ("answers", "said"), [([{"approve": False}], "decline: None"), (None, "decline: None")]
)
async def test_a_question_that_is_not_answered(
    runtime: Make, upstream: Upstream, answers: Any, said: str
) -> None:
    upstream.says(call(0, "calc__book", {}), finish="tool_calls")
    upstream.says({"content": "not booked"})
    async with served(asking().sse_app()) as url, runtime(turn_settings=loopback(url)) as running:
        items = await turn(running, url, answers)
    assert items[1]["output"] == said


async def test_a_server_may_not_ask_without_end(runtime: Make, upstream: Upstream) -> None:
    upstream.says(call(0, "calc__pester", {}), finish="tool_calls")
    upstream.says({"content": "enough"})
    yes = {"approve": True, "agent_kernel": {"content": {"seats": 1}}}
    async with served(asking().sse_app()) as url, runtime(turn_settings=loopback(url)) as running:
        items = await turn(running, url, [yes] * 20)
    assert items[1]["output"].split() == ["accept"] * 20 + ["decline"] * 5


async def test_a_question_is_withdrawn_with_its_turn(
    runtime: Make, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.says(call(0, "calc__book", {}), finish="tool_calls")
    async with served(asking().sse_app()) as url, runtime(turn_settings=loopback(url)) as running:
        request = {"input": "go", "tools": [entry(f"{url}/sse")], "agent_kernel": {"answers": True}}
        async with aclosing(running.respond(request)) as events:
            first: Any = await anext(events)
            async for event in events:
                item = to_json(event).get("item", {})
                if item.get("type") == "mcp_approval_request":
                    break
        answer = {"approval_request_id": item["id"], "approve": True}
        with pytest.raises(InvalidRequest, match="No open question"):
            await running.answer(first.response.id, answer)
    assert '"withdrawn"' in (tmp_path / "audit.jsonl").read_text()


@pytest.mark.filterwarnings("ignore:The sampling capability is deprecated")
async def test_a_server_that_asks_a_model_is_refused(runtime: Make, upstream: Upstream) -> None:
    upstream.says(call(0, "calc__sample", {}), finish="tool_calls")
    upstream.says({"content": "no"})
    async with served(asking().sse_app()) as url, runtime(turn_settings=loopback(url)) as running:
        items = await turn(running, url, None)
    assert items[1]["output"] == "refused: Sampling not supported"


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "(a+)+$"},
        "count": {"type": "integer"},
        "size": {"type": "number"},
        "ok": {"type": "boolean"},
        "pet": {"type": "string", "enum": ["cat", "dog"]},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name"],
}


@pytest.mark.parametrize(
    ("content", "param"),
    [
        ({}, "name"),
        ({"name": 5}, "name"),
        ({"name": "x" * 30_000}, "name"),
        ({"name": "x", "count": 1.5}, "count"),
        ({"name": "x", "count": True}, "count"),
        ({"name": "x", "ok": "yes"}, "ok"),
        ({"name": "x", "pet": "cow"}, "pet"),
        ({"name": "x", "tags": [1]}, "tags"),
        ({"name": "x", "other": 1}, ""),
        ("x", ""),
    ],
)
def test_values_that_do_not_fit_are_refused(content: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_values(ServerQuestion("s", "?", SCHEMA), content, "content")
    assert caught.value.param == f"content.{param}".rstrip(".")


def test_values_that_fit_are_taken_and_no_pattern_is_run() -> None:
    content = {"name": "a" * 5000 + "!", "count": 2, "size": 1, "ok": False, "pet": "dog", "tags": ["x"]}
    assert read_values(ServerQuestion("s", "?", SCHEMA), content, "content") == content
