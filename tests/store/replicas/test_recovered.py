"""A turn that a server is just taking over is reached from another one, as one that runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.models.catalogue import Models
from agent_kernel.protocol.broken import ResumePoint
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.sandboxes.base import Backend
from agent_kernel.store.records import ResponseRow
from tests.store.conftest import Open

RESPONSE: Any = {"id": "resp_left", "object": "response", "status": "in_progress", "output": [], "tools": []}
LEFT = ResponseRow(
    "resp_left", 1.0, "in_progress", "m", None, None, {"background": True}, [], RESPONSE, owner="dead"
)
CREATED = {"type": "response.created", "sequence_number": 0, "response": RESPONSE}

Server = Callable[[], LocalRuntime]


class TakingOver:
    """Stands for the resumption of a turn: it takes until the test says so, and fails."""

    def __init__(self) -> None:
        self.begun, self.goes_on = asyncio.Event(), asyncio.Event()

    async def __call__(self, row: ResponseRow, _: ResumePoint) -> None:
        self.begun.set()
        await self.goes_on.wait()
        raise InvalidRequest("not in this test")


async def no_sandbox() -> Backend:
    raise AssertionError("this turn needs none")


@pytest.fixture
async def server(opened: Open) -> AsyncIterator[Server]:
    servers: list[LocalRuntime] = []

    def server() -> LocalRuntime:
        models = Models(upstream_url=None, upstream_key=None, default="scripted/demo")
        servers.append(LocalRuntime(RuntimeParts(models, no_sandbox, opened(), restart="resume")))
        return servers[-1]

    yield server
    for each in servers:
        await each.aclose()


@pytest.fixture
async def other(server: Server) -> LocalRuntime:
    """A server that has begun before there was a turn to take over."""
    other = server()
    await other.start()
    rows = other._tenants.parts.store.rows
    await rows.put_response(LEFT)
    await rows.append_events(LEFT.id, [(0, json.dumps(CREATED))])
    return other


async def test_a_follower_waits_for_the_takeover(
    server: Server, other: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    taking_over, new = TakingOver(), server()
    monkeypatch.setattr(new._tenants.recovery, "_resume", taking_over)
    seen: list[str] = []
    first = asyncio.Event()

    async def follow() -> None:
        async with aclosing(other.follow(LEFT.id)) as events:
            async for event in events:
                seen.append(event.type)
                first.set()

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(new.start())
        await taking_over.begun.wait()
        following = group.create_task(follow())
        await first.wait()
        taking_over.goes_on.set()
        await following
    assert seen == ["response.created", "response.incomplete"]


async def test_a_cancel_waits_for_the_takeover(
    server: Server, other: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    taking_over, new = TakingOver(), server()
    monkeypatch.setattr(new._tenants.recovery, "_resume", taking_over)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(new.start())
        await taking_over.begun.wait()
        cancelling = group.create_task(other.cancel(LEFT.id))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not cancelling.done()
        taking_over.goes_on.set()
        assert (await cancelling).status == "incomplete"
