"""Questions about the network: asked while a command runs, answered, denied, and withdrawn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.egress.names import Address
from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.errors import InvalidRequest
from agent_kernel.models.catalogue import Models
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.containers.containers import ContainerOptions
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.network.egress import UNATTENDED, NetworkOptions
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.sandboxes.base import Backend
from agent_kernel.store.sqlite.store import sqlite_store
from tests.runtime.approvals.asking import Json, answer, of, printed

pytestmark = pytest.mark.bubblewrap

Audited = Callable[..., list[dict[str, Any]]]
OnItem = Callable[[str, Json], Awaitable[None]]


async def loopback(name: str) -> list[Address]:
    return [ip_address("127.0.0.1")]


class Opened:
    """A runtime whose operator offers one service, and turns in a container that asks."""

    def __init__(self, runtime: LocalRuntime, port: int, audit: AuditLog) -> None:
        self.runtime, self.port, self.audit = runtime, port, audit
        self.response_id = ""

    def dial(self) -> str:
        """A command that prints what the service says."""
        return f"cat < /dev/tcp/echo.internal/{self.port}"

    async def turn(self, command: str, on_item: OnItem | None = None, **more: Any) -> Json:
        """Run a command; `on_item` gets the response's id and each item when it is there."""
        policy = {"type": "ask", "allowed_domains": []}
        tools = [{"type": "shell", "environment": {"type": "container_auto", "network_policy": policy}}]
        ours = {"answers": True} if on_item is not None else {}
        request = {
            "model": "agent_kernel/shell",
            "input": command,
            "tools": tools,
            "agent_kernel": ours,
            **more,
        }
        async with aclosing(self.runtime.respond(request)) as events:
            async for event in events:
                if event.type == "response.created":
                    self.response_id = event.response.id
                if event.type == "response.output_item.done" and on_item is not None:
                    await on_item(self.response_id, to_json(event.item))
                if event.type == "response.completed":
                    return to_json(event.response)
        raise AssertionError("the turn was not completed")


@pytest.fixture
async def asking(bubblewrap_backend: Backend, tmp_path: Path) -> AsyncIterator[Opened]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    audit = AuditLog(tmp_path / "audit.jsonl")
    options = ContainerOptions(
        network=NetworkPolicy.parse([f"tcp://echo.internal:{port}"]),
        network_options=NetworkOptions(resolver=loopback),
    )
    runtime = LocalRuntime(
        RuntimeParts(
            models=Models(upstream_url=None, upstream_key=None, default="agent_kernel/shell"),
            backend=bubblewrap_backend,
            store=sqlite_store(tmp_path),
            container_settings=options,
            audit=audit,
        )
    )
    yield Opened(runtime, port, audit)
    for container in (await runtime.containers.list(limit=100)).data:
        await runtime.containers.delete(container.id)
    await runtime.aclose()
    server.close()
    await server.wait_closed()


def answering(asking: Opened, approve: bool = True, **more: Any) -> OnItem:
    async def on_item(response_id: str, item: Json) -> None:
        if item["type"] == "mcp_approval_request":
            await asking.runtime.answer(response_id, answer(item, approve, **more))

    return on_item


async def test_connection_waits_for_its_answer(asking: Opened, audited: Audited) -> None:
    command = f"echo before; {asking.dial()}"
    first = await asking.turn(command, answering(asking))
    assert printed(first)[0]["stdout"] == "before\nhello\n"
    call, output, request, answered = first["output"]
    assert (call["type"], output["type"]) == ("shell_call", "shell_call_output")
    asked = json.loads(request["arguments"])
    assert (request["server_label"], request["name"]) == ("agent_kernel", "network")
    assert (asked["host"], asked["port"], asked["command"]) == ("echo.internal", asking.port, command)
    assert (answered["approval_request_id"], answered["approve"]) == (request["id"], True)
    assert answered["agent_kernel"] == {"by": "person", "scope": "once"}
    again = await asking.turn(
        asking.dial(),
        answering(asking, agent_kernel={"scope": "container"}),
        previous_response_id=first["id"],
    )
    assert len(of(again, "mcp_approval_request")) == 1
    (used,) = first["agent_kernel"]["network"]
    assert (used["host"], used["port"], used["connections"]) == ("echo.internal", asking.port, 1)
    assert (used["refused"], used["received"]) == (0, len("hello\n"))
    later = await asking.turn(asking.dial(), previous_response_id=again["id"])
    assert printed(later)[0]["stdout"] == "hello\n"
    (container,) = (await asking.runtime.containers.list()).data
    policy = {"type": "ask", "allowed_domains": [f"tcp://echo.internal:{asking.port}"]}
    assert (await asking.runtime.containers.network(container.id)).policy == policy
    asking.audit.close()  # so that no line waits for others
    assert [each["decision"] for each in audited("network.answer")] == ["once", "container"]
    assert [each["by"] for each in audited("connection")] == ["person", "person", "policy"]
    assert audited("network.request")[0]["command"] == command


async def test_denial_holds_for_the_turn_and_is_told(asking: Opened) -> None:
    twice = f"{asking.dial()}; {asking.dial()}"
    response = await asking.turn(twice, answering(asking, False, reason="not\ntoday"))
    assert [each["connections"] for each in response["agent_kernel"]["network"]] == [0]
    (stderr,) = (each["stderr"] for each in printed(response))
    why = "denied by the person who was asked: not today."
    assert f"Network: echo.internal:{asking.port} was refused: {why}" in stderr
    assert len(of(response, "mcp_approval_request")) == 1
    (answered,) = of(response, "mcp_approval_response")
    assert answered["approve"] is False


async def test_client_that_does_not_answer_is_not_asked(asking: Opened) -> None:
    response = await asking.turn(asking.dial())
    assert UNATTENDED in printed(response)[0]["stderr"]
    assert of(response, "mcp_approval_request") == []


async def test_question_is_withdrawn_with_its_program(asking: Opened, audited: Audited) -> None:
    requests: list[Json] = []

    async def on_item(response_id: str, item: Json) -> None:
        requests.extend([item] if item["type"] == "mcp_approval_request" else [])

    response = await asking.turn(f"timeout 1 {asking.dial().replace('cat', 'cat -')}; echo on", on_item)
    assert printed(response)[0]["stdout"] == "on\n"
    (withdrawn,) = of(response, "mcp_approval_response")
    assert (withdrawn["approve"], withdrawn["reason"].split(":")[0]) == (False, "withdrawn")
    assert [each["decision"] for each in audited("network.answer")] == ["withdrawn"]
    with pytest.raises(InvalidRequest) as late:
        await asking.runtime.answer(response["id"], answer(requests[0]))
    assert late.value.request_code == "approval_not_open"


async def test_wrong_answer_leaves_the_question_open(asking: Opened) -> None:
    refused: list[str | None] = []

    async def on_item(response_id: str, item: Json) -> None:
        if item["type"] != "mcp_approval_request":
            return
        wrong = [
            ("resp_other", answer(item)),
            (response_id, {**answer(item), "approval_request_id": "mcpr_other"}),
            (response_id, {**answer(item), "approve": "yes"}),
            (response_id, {**answer(item), "type": "message"}),
            (response_id, answer(item, agent_kernel={"scope": "everything"})),
            (response_id, answer(item, agent_kernel={"commands": ["true"]})),
        ]
        for whose, given in wrong:
            with pytest.raises(InvalidRequest) as caught:
                await asking.runtime.answer(whose, given)
            refused.append(caught.value.request_code)
        await asking.runtime.answer(response_id, answer(item))
        with pytest.raises(InvalidRequest):
            await asking.runtime.answer(response_id, answer(item))

    response = await asking.turn(asking.dial(), on_item)
    assert printed(response)[0]["stdout"] == "hello\n"
    assert refused[:2] == ["approval_not_open"] * 2
    assert len(refused) == 6


async def test_cancelled_turn_withdraws_its_questions(asking: Opened, audited: Audited) -> None:
    class Left(Exception):
        pass

    async def on_item(response_id: str, item: Json) -> None:
        if item["type"] == "mcp_approval_request":
            raise Left

    with pytest.raises(Left):
        await asking.turn(asking.dial(), on_item)
    stored = await asking.runtime.retrieve(asking.response_id)
    assert stored.status == "incomplete"
    assert [each["decision"] for each in audited("network.answer")] == ["withdrawn"]
    after = await asking.turn("echo on", previous_response_id=asking.response_id)
    assert printed(after)[0]["stdout"] == "on\n"
