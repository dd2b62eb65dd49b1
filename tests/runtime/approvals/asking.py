"""A runtime whose calls wait for approval, requests to it, and what its responses hold."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.models.catalogue import Models
from agent_kernel.policy.rules import Policy
from agent_kernel.protocol.fold import afold
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.base import Runtime
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.sandboxes.base import Backend
from agent_kernel.store.sqlite.store import sqlite_store

Json = dict[str, Any]

SCRIPT = f"scripted/{Path(__file__).parent / 'approval.yaml'}"
SHELL = {"type": "shell", "environment": {"type": "container_auto"}}
WEATHER = {"type": "function", "name": "get_weather", "parameters": {}, "strict": False}

LOCAL = {"type": "shell", "environment": {"type": "local"}}

ASK = Policy("ask")


@asynccontextmanager
async def opened(backend: Backend, folder: Path, policy: Policy) -> AsyncIterator[LocalRuntime]:
    runtime = LocalRuntime(
        RuntimeParts(
            models=Models(upstream_url=None, upstream_key=None, default=SCRIPT),
            backend=backend,
            store=sqlite_store(folder),
            audit=AuditLog(folder / "audit.jsonl"),
            approval=policy,
        )
    )
    try:
        yield runtime
    finally:
        for container in (await runtime.containers.list(limit=100)).data:
            await runtime.containers.delete(container.id)
        await runtime.aclose()


async def turn(runtime: Runtime, given: Any, previous: Json | None = None, **more: Any) -> Json:
    request = {"input": given, "tools": [SHELL, WEATHER], **more}
    if previous is not None:
        request["previous_response_id"] = previous["id"]
    async with aclosing(runtime.respond(request)) as events:
        return to_json(await afold(events))


def of(response: Json, kind: str) -> list[Json]:
    return [item for item in response["output"] if item["type"] == kind]


def asked(response: Json) -> Json:
    (request,) = of(response, "mcp_approval_request")
    return request


def answer(request: Json, approve: bool = True, **more: Any) -> Json:
    return {
        "type": "mcp_approval_response",
        "approval_request_id": request["id"],
        "approve": approve,
        **more,
    }


def printed(response: Json) -> list[Json]:
    return [content for item in of(response, "shell_call_output") for content in item["output"]]


def said(response: Json) -> str:
    return "".join(part["text"] for item in of(response, "message") for part in item["content"])


async def made(runtime: LocalRuntime, previous: Json) -> int:
    """How often the command has run, counted by the caller's own command."""
    count = "cat made.txt 2>/dev/null | wc -l"
    counted = await turn(runtime, count, previous, model="agent_kernel/shell")
    return int(printed(counted)[0]["stdout"])


async def refused(runtime: Runtime, code: str | None, given: Any, previous: Json | None, **more: Any) -> str:
    with pytest.raises(InvalidRequest) as caught:
        await turn(runtime, given, previous, **more)
    assert caught.value.request_code == code
    return caught.value.message
