"""A real server that several people use, each with a key, over bubblewrap or another backend."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from openai import OpenAI

from agent_kernel.keys import KeyLimits
from agent_kernel.models.catalogue import Models
from agent_kernel.policy.rules import Policy
from agent_kernel.runtime.access.keys import StoredKeys
from agent_kernel.runtime.containers.containers import ContainerOptions
from agent_kernel.runtime.containers.sweep import STORE_LABEL
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.runtime.turns.settings import TurnSettings
from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.optional import snapshots_of
from agent_kernel.sandboxes.toolbox import Toolbox
from agent_kernel.server import create_app, listen
from agent_kernel.store.rows import Rows
from agent_kernel.store.sqlite.store import sqlite_rows, sqlite_store
from agent_kernel.tools.shell.run import ShellLimits

SCRIPT = f"scripted/{Path(__file__).parent / 'acceptance.yaml'}"
SHELL: Any = {"type": "shell", "environment": {"type": "container_auto"}}
NONE = KeyLimits()
OPERATOR = "sk-operator"
UPLOAD_LIMIT = 1 << 20


@dataclass
class Keyed:
    """One that runs. `secrets` are the keys by name; "" is the operator's, which has none."""

    url: str
    folder: Path
    secrets: dict[str, str]
    runtime: LocalRuntime
    http: httpx2.Client
    audit: AuditLog
    loop: asyncio.AbstractEventLoop

    @property
    def root(self) -> str:
        return self.url.removesuffix("/v1")

    def headers(self, name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secrets[name]}"}

    def client(self, name: str, **more: Any) -> OpenAI:
        return OpenAI(base_url=self.url, api_key=self.secrets[name], max_retries=0, timeout=60, **more)

    def ask(self, name: str, method: str, path: str, **more: Any) -> httpx2.Response:
        headers = {**self.headers(name), **more.pop("headers", {})}
        return self.http.request(method, self.root + path, headers=headers, **more)

    def audited(self) -> list[dict[str, Any]]:
        """The lines of the audit log. The server writes down first what waits for others to come."""

        async def close() -> None:
            self.audit.close()

        asyncio.run_coroutine_threadsafe(close(), self.loop).result(30)
        assert self.audit.path is not None
        return [json.loads(line) for line in self.audit.path.read_text().splitlines()]

    def begin_to_wait(self, name: str) -> str:
        """The id of a turn in the background whose command runs until it is cancelled."""
        body = {"model": "agent_kernel/shell", "input": "sleep 1000", "tools": [SHELL], "background": True}
        response_id = str(self.ask(name, "POST", "/v1/responses", json=body).json()["id"])
        with self.client(name) as client, client.responses.retrieve(response_id, stream=True) as events:
            for event in events:
                if event.type == "response.output_item.done":
                    return response_id
        raise AssertionError("the turn ended")

    def revoke(self, name: str) -> None:
        """As the operator's command does: by another process's connection to the same file."""
        asyncio.run(self._elsewhere(name, None))

    def create(self, name: str, limits: KeyLimits = NONE) -> None:
        asyncio.run(self._elsewhere(name, limits))

    async def _elsewhere(self, name: str, limits: KeyLimits | None) -> None:
        store = sqlite_rows(self.folder / "store.sqlite")
        try:
            if limits is None:
                await StoredKeys(store).revoke(name)
            else:
                self.secrets[name] = await StoredKeys(store).create(name, limits)
        finally:
            await store.aclose()


@contextmanager
def keyed_server(
    folder: Path,
    toolbox: Toolbox,
    people: Mapping[str, KeyLimits],
    *,
    limits: KeyLimits = NONE,
    api_key: str | None = OPERATOR,
    models: Models | None = None,
    settings: ContainerOptions | None = None,
    max_connections: int = 500,
    make_backend: Callable[[], Backend] | None = None,
    approval: Policy | None = None,
) -> Iterator[Keyed]:
    """Start one on a free port of loopback; at the end it is stopped and its containers are removed."""
    make_backend = make_backend or (lambda: BubblewrapBackend(folder, toolbox))
    audit = AuditLog(folder / "audit.jsonl")
    runtime = LocalRuntime(
        RuntimeParts(
            models=models or Models(upstream_url=None, upstream_key=None, default=SCRIPT),
            backend=make_backend(),
            store=sqlite_store(folder),
            container_settings=settings or ContainerOptions(upload_limit=UPLOAD_LIMIT),
            turn_settings=TurnSettings(tools={"shell": ShellLimits(timeout=1000)}),
            audit=audit,
            approval=approval or Policy(),
        )
    )
    url: Future[str] = Future()
    running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = Future()

    async def main() -> None:
        app = create_app(runtime, api_key=api_key, upload_limit=UPLOAD_LIMIT, limits=limits)
        serving = listen(app, "127.0.0.1", 0, max_connections=max_connections, announce=url.set_result)
        task = asyncio.create_task(serving)
        running.set_result((asyncio.get_running_loop(), task))
        await asyncio.gather(task, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    loop, task = running.result()
    # A connection for each request: none is used that the server is about to close.
    http = httpx2.Client(timeout=60, limits=httpx2.Limits(max_keepalive_connections=0))
    server = Keyed(url.result(30), folder, {"": api_key or ""}, runtime, http, audit, loop)
    try:
        for name, own in people.items():
            server.create(name, own)
        yield server
    finally:
        http.close()
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        asyncio.run(_clear(make_backend(), sqlite_rows(folder / "store.sqlite")))


async def _clear(backend: Backend, store: Rows) -> None:
    labels = {STORE_LABEL: await store.identity()}
    for ref in await backend.list(labels):
        await backend.delete(ref)
    for snapshot in await snapshots_of(backend).snapshots(labels):
        await snapshots_of(backend).remove_snapshot(snapshot.id)
    await store.aclose()
    await backend.aclose()
