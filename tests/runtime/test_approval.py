from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.models.catalogue import Models
from agent_kernel.protocol.fold import afold
from agent_kernel.protocol.items import to_json
from agent_kernel.protocol.policy import Policy, Rule
from agent_kernel.runtime.approval_items import BROKEN_OFF, UNDECIDED
from agent_kernel.runtime.audit import AuditLog
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.sqlite import SqliteStore
from agent_kernel.sandboxes.base import Backend

Json = dict[str, Any]

SCRIPT = f"scripted/{Path(__file__).parent / 'approval.yaml'}"
SHELL = {"type": "shell", "environment": {"type": "container_auto"}}
WEATHER = {"type": "function", "name": "get_weather", "parameters": {}, "strict": False}

ASK = Policy("ask")


@asynccontextmanager
async def opened(backend: Backend, folder: Path, policy: Policy) -> AsyncIterator[LocalRuntime]:
    runtime = LocalRuntime(
        models=Models(upstream_url=None, upstream_key=None, default=SCRIPT),
        backend=backend,
        store=SqliteStore(folder / "store.sqlite"),
        audit=AuditLog(folder / "audit.jsonl"),
        approval=policy,
    )
    yield runtime
    for container in (await runtime.containers.list(limit=100)).data:
        await runtime.containers.delete(container.id)
    await runtime.aclose()


@pytest.fixture
async def runtime(bubblewrap_backend: Backend, tmp_path: Path) -> AsyncIterator[LocalRuntime]:
    async with opened(bubblewrap_backend, tmp_path, ASK) as runtime:
        yield runtime


async def turn(runtime: LocalRuntime, given: Any, previous: Json | None = None, **more: Any) -> Json:
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


async def test_a_call_that_is_asked_about_waits_and_runs_once(runtime: LocalRuntime) -> None:
    first = await turn(runtime, "touch the file")
    assert first["status"] == "completed" and not printed(first)
    request = first["output"][-1]
    (call,) = of(first, "shell_call")
    assert request["type"] == "mcp_approval_request" and request["id"].startswith("mcpr_")
    assert (request["server_label"], request["name"]) == ("agent_kernel", "shell")
    told = json.loads(request["arguments"])
    assert told["commands"] == call["action"]["commands"] and "asks" in told["reason"]

    second = await turn(runtime, [answer(request)], first)
    assert second["output"][0]["call_id"] == call["call_id"]
    assert printed(second)[0]["stdout"].strip() == "1"
    assert said(second) == "It has 1 lines."
    assert second["status"] == "completed"
