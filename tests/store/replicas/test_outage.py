"""A database that stays away for longer than a server waits for it: turns fail, and their end is not lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import psycopg
import pytest

from agent_kernel.errors import ConfigurationError
from agent_kernel.models.catalogue import Models
from agent_kernel.runtime import late_ends
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.sandboxes.base import Backend
from agent_kernel.store.catalogue import open_store
from agent_kernel.store.postgres import database
from tests.runtime.played import Upstream
from tests.store.postgres import Postgres


class Held(Upstream):
    """An upstream that answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.go.wait()
        await super().serve(reader, writer)


@pytest.fixture
async def upstream() -> AsyncIterator[Held]:
    held = Held()
    server = await asyncio.start_server(held.serve, "127.0.0.1", 0)
    async with server:
        held.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        yield held
        server.close()


async def no_sandbox() -> Backend:
    raise AssertionError("this turn needs none")


async def test_a_turn_ends_in_the_store_after_a_long_outage(
    postgres: Postgres, upstream: Held, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE", 0.3)
    monkeypatch.setattr(late_ends, "AGAIN", 0.1)
    url = postgres.new()
    models = Models(upstream_url=upstream.url, upstream_key=None, default="chat/m")
    runtime = LocalRuntime(RuntimeParts(models, no_sandbox, open_store(url, tmp_path)))
    await runtime.start()
    upstream.says({"content": "Hello."})
    events = runtime.respond({"input": "Hi", "background": True})
    async with asyncio.timeout(60), aclosing(events):
        async for event in events:
            if event.type == "response.in_progress":
                break
        (live,) = runtime._tenant.background._live.values()
        with postgres.outage(url):
            upstream.go.set()
            assert live.task is not None
            await live.task
            with pytest.raises(ConfigurationError, match="The PostgreSQL store cannot be used"):
                await runtime.retrieve(live.run.id)
        late = runtime._tenants._late._writing
        assert late is not None
        await late
        ended = await runtime.retrieve(live.run.id)
    assert (ended.status, ended.output_text) == ("failed", "Hello.")
    assert ended.error is not None
    assert "The PostgreSQL store cannot be used" in ended.error.message
    await runtime.aclose()
    with psycopg.connect(url) as connection:
        owner = connection.execute("SELECT owner FROM responses").fetchall()
        journal = connection.execute("SELECT number, event FROM events ORDER BY number").fetchall()
    assert owner == [(None,)], "no other server takes it over"
    assert [number for number, _ in journal] == list(range(len(journal))), "no event is missing"
    assert json.loads(journal[-1][1])["type"] == "response.failed"
