"""A real MCP server over HTTP on loopback, over bubblewrap, and the SDK's client for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, ElicitRequestParams, ElicitResult, ImageContent, TextContent

from agent_kernel.keys import KeyLimits
from agent_kernel.mcp_server.http import PATH, create_app
from agent_kernel.policy.rules import read_policy
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.sandboxes.base import Backend
from agent_kernel.server import listen
from tests.runtime.played import runtime_on

MODES = ("auto", "legacy")
"""The protocol of 2026-07-28, and those before it."""

POLICY = read_policy(
    {
        "rules": [
            {"action": "ask", "command": "rm"},
            {"action": "deny", "command": "curl"},
            {"action": "ask", "command": "python"},
        ]
    }
)


@dataclass
class Served:
    """A server: its address, its runtime and its audit log."""

    url: str
    runtime: LocalRuntime
    log: Path

    def audited(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [each for each in lines if each["event"] == event]


@dataclass
class Person:
    """Answers questions, and remembers them."""

    run: bool | None = None
    questions: list[str] = field(default_factory=list)

    async def asked(self, context: Any, params: ElicitRequestParams) -> ElicitResult:
        self.questions.append(params.message)
        if self.run is None:
            return ElicitResult(action="cancel")
        return ElicitResult(action="accept", content={"run": self.run})


Serve = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture
def serve(bubblewrap_backend: Backend, tmp_path: Path) -> Serve:
    """Serves while it is entered."""
    return serving_on(bubblewrap_backend, tmp_path)


@pytest.fixture
def serve_on_docker(docker_backend: Backend, tmp_path: Path) -> Serve:
    """Serves sandboxes of Docker."""
    return serving_on(docker_backend, tmp_path)


def serving_on(backend: Backend, folder: Path) -> Serve:
    @asynccontextmanager
    async def serve(api_key: str | None = None, limits: KeyLimits = KeyLimits()) -> AsyncGenerator[Served]:  # noqa: B008
        log = folder / "audit.jsonl"
        audit = AuditLog(log)
        async with runtime_on("http://127.0.0.1:1", backend, folder, audit=audit, approval=POLICY) as r:
            url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            app = create_app(Unowned(r), api_key=api_key, limits=limits)
            task = asyncio.create_task(listen(app, "127.0.0.1", 0, announce=url.set_result))
            try:
                yield Served((await url).removesuffix("/v1") + PATH, r, log)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    return serve


class Unowned:
    """A runtime that its server does not close: the test removes its containers first."""

    def __init__(self, runtime: LocalRuntime) -> None:
        self._runtime = runtime

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    async def aclose(self) -> None:
        """Leave it open."""


@asynccontextmanager
async def client_of(url: str, key: str | None = None, **options: Any) -> AsyncGenerator[Client]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=120) as http,
        Client(streamable_http_client(url, http_client=http), **options) as client,
    ):
        yield client


async def container(client: Client, **arguments: Any) -> str:
    made = await client.call_tool("create_container", arguments)
    assert made.structured_content is not None, text(made)
    return str(made.structured_content["id"])


def text(result: CallToolResult) -> str:
    return "\n".join(each.text for each in result.content if isinstance(each, TextContent))


def pictures(result: CallToolResult) -> list[ImageContent]:
    return [each for each in result.content if isinstance(each, ImageContent)]
