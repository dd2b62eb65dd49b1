"""A runtime of each kind, on a real sandbox."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.models.catalogue import Models
from agent_kernel.runtime.base import Runtime
from agent_kernel.runtime.containers.containers import ContainerOptions, LocalContainers
from agent_kernel.runtime.containers.sweep import STORE_LABEL
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.runtime.remote.runtime import RemoteRuntime
from agent_kernel.runtime.turns.settings import TurnSettings
from agent_kernel.sandboxes.base import Backend
from agent_kernel.server import create_app, listen
from agent_kernel.store.rows import Rows
from agent_kernel.store.sqlite.store import sqlite_rows, sqlite_store
from tests.runtime.played import Upstream

UPLOAD_LIMIT = 1 << 20
SCRIPT = f"scripted/{Path(__file__).parent / 'contract.yaml'}"


@pytest.fixture
async def local_runtime(backend: Backend, tmp_path: Path) -> AsyncIterator[LocalRuntime]:
    """In this process; its containers are removed at the end."""
    store = sqlite_store(tmp_path)
    runtime = LocalRuntime(
        RuntimeParts(
            models=Models(upstream_url=None, upstream_key=None, default=SCRIPT),
            backend=backend,
            store=store,
            container_settings=ContainerOptions(upload_limit=UPLOAD_LIMIT),
            turn_settings=TurnSettings(max_steps=3),
        )
    )
    yield runtime
    for container in (await runtime.containers.list(limit=100)).data:
        await runtime.containers.delete(container.id)
    for snapshot in await runtime.containers.checkpoints.all():
        assert await runtime.containers.checkpoints.remove(snapshot)
    await runtime.aclose()


@asynccontextmanager
async def served(runtime: LocalRuntime, api_key: str | None) -> AsyncIterator[str]:
    """A real server on a free port of loopback."""
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    app = create_app(runtime, api_key=api_key, upload_limit=UPLOAD_LIMIT)
    app.router.lifespan_context = lambda _: nullcontext()  # the fixture closes the runtime itself
    server = asyncio.create_task(listen(app, "127.0.0.1", 0, announce=url.set_result))
    try:
        yield await url
    finally:
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)


@pytest.fixture(params=["local", "remote"])
async def runtime(request: pytest.FixtureRequest, local_runtime: LocalRuntime) -> AsyncIterator[Runtime]:
    """Each body of the contract in turn: in this process, and over HTTP on a server with a key."""
    if request.param == "local":
        yield local_runtime
        return
    async with served(local_runtime, "secret") as url:
        remote = RemoteRuntime(url, "secret")
        yield remote
        await remote.aclose()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """An upstream that plays what it is given."""
    played = Upstream()
    server = await asyncio.start_server(played.serve, "127.0.0.1", 0)
    async with server:
        played.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        yield played


@pytest.fixture
def kill(backend: Backend) -> Callable[[str], Awaitable[None]]:
    """Ends a container from outside."""

    async def kill(container_id: str) -> None:
        await backend.delete(await backend.get(container_id))

    return kill


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Rows]:
    """A store of the test's own, for containers without a runtime around them."""
    store = sqlite_rows(tmp_path / "containers.sqlite")
    yield store
    await store.aclose()


Make = Callable[..., LocalContainers]


@pytest.fixture
async def make(backend: Backend, store: Rows, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes containers on each backend, with settings; all of them and their checkpoints go at the end."""
    made: list[LocalContainers] = []

    def make(**settings: Any) -> LocalContainers:
        audit = AuditLog(tmp_path / "audit.jsonl")
        made.append(LocalContainers.of_all(backend, store, ContainerOptions(**settings), audit))
        return made[-1]

    yield make
    for row in await store.containers():
        await made[0].delete(row.id)
    for snapshot in await made[0].checkpoints.all():
        assert await made[0].checkpoints.remove(snapshot)
    for containers in made:
        await containers.aclose()
    assert await backend.list({STORE_LABEL: await store.identity()}) == []


@pytest.fixture
def audited(tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Reads the audit log: the lines of these events, or all."""

    def audited(*events: str) -> list[dict[str, Any]]:
        lines = map(json.loads, (tmp_path / "audit.jsonl").read_text().splitlines())
        return [line for line in lines if not events or line["event"] in events]

    return audited
