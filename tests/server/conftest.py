"""A real server in a thread of its own, on a free port of loopback, over a real sandbox."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import pytest
from openai import OpenAI

from agent_kernel.models.catalogue import Models
from agent_kernel.runtime.containers.containers import ContainerOptions
from agent_kernel.runtime.containers.sweep import STORE_LABEL
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.sandboxes.base import Backend
from agent_kernel.server import create_app, listen
from agent_kernel.store.rows import Rows
from agent_kernel.store.sqlite.store import sqlite_rows, sqlite_store

KEY = "sk-test"
MODEL = f"scripted/{Path(__file__).parent / 'acceptance.yaml'}"
UPLOAD_LIMIT = 1 << 20


@dataclass
class Server:
    """One that runs: where it is, and how to stop it."""

    url: str
    runtime: LocalRuntime
    stop: Callable[[], None]

    def client(self, key: str = KEY) -> OpenAI:
        """The official client, told to be strict and never to try again."""
        return OpenAI(base_url=self.url, api_key=key, max_retries=0, timeout=60)

    @staticmethod
    def model(script: str) -> str:
        """The model that plays a script of this folder."""
        return f"scripted/{Path(__file__).parent / script}"


Start = Callable[[str | None], Server]


@pytest.fixture
def start(backend: Backend, tmp_path: Path) -> Iterator[Start]:
    """Start a server with this key; at the end all are stopped and their containers removed."""
    servers: list[Server] = []

    def start(api_key: str | None) -> Server:
        runtime = LocalRuntime(
            RuntimeParts(
                models=Models(upstream_url=None, upstream_key=None, default=MODEL),
                backend=backend,
                store=sqlite_store(tmp_path),
                container_settings=ContainerOptions(upload_limit=UPLOAD_LIMIT),
            )
        )
        servers.append(_in_thread(runtime, api_key))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
    asyncio.run(_clear(backend, sqlite_rows(tmp_path / "store.sqlite")))


@pytest.fixture
def server(start: Start) -> Server:
    """One with a key."""
    return start(KEY)


@pytest.fixture
def client(server: Server) -> Iterator[OpenAI]:
    """Its client."""
    with server.client() as client:
        yield client


def _in_thread(runtime: LocalRuntime, api_key: str | None) -> Server:
    url: Future[str] = Future()
    running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = Future()

    async def main() -> None:
        app = create_app(runtime, api_key=api_key, upload_limit=UPLOAD_LIMIT)
        task = asyncio.create_task(listen(app, "127.0.0.1", 0, announce=url.set_result))
        running.set_result((asyncio.get_running_loop(), task))
        await asyncio.gather(task, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    loop, task = running.result()

    def stop() -> None:
        if thread.is_alive():
            loop.call_soon_threadsafe(task.cancel)
            thread.join()

    return Server(url.result(30), runtime, stop)


async def _clear(backend: Backend, store: Rows) -> None:
    """Remove what this store's servers left, and nothing of anybody else's."""
    for ref in await backend.list({STORE_LABEL: await store.identity()}):
        await backend.delete(ref)
    await store.aclose()
