"""A conversation whose container had expired: it goes on where it was, and the model is told."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from openai.types.responses import Response

from agent_kernel.models.base import ModelRequest
from agent_kernel.models.catalogue import Models
from agent_kernel.models.scripted import ScriptedModel
from agent_kernel.protocol.deltas import ModelDelta
from agent_kernel.protocol.fold import fold
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.sandboxes.base import Backend
from agent_kernel.store.rows import Rows
from agent_kernel.store.sqlite.store import sqlite_store

SCRIPT = f"scripted/{Path(__file__).parents[1] / 'contract.yaml'}"
TOOL = {"type": "shell", "environment": {"type": "container_auto"}}


@dataclass
class Conversation:
    """A runtime with a store, an audit log and a model that writes down what it was asked."""

    runtime: LocalRuntime
    store: Rows
    asked: list[ModelRequest]

    async def turn(self, text: str, **request: Any) -> Response:
        async with aclosing(self.runtime.respond({"input": text, "tools": [TOOL], **request})) as events:
            return fold([event async for event in events])

    async def expire(self, container: str) -> None:
        row = await self.store.container(container)
        assert row is not None
        assert await self.store.change_container(container, "running", "running", time.time() - 7200)
        self.runtime.containers.refresh()
        async with asyncio.timeout(30):
            while (await self.runtime.containers.retrieve(container)).status != "expired":  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    def notes(self) -> list[str]:
        """What developers told the model in the last request."""
        items = [dict(item) for item in self.asked[-1].input if dict(item).get("role") == "developer"]
        return [json.dumps(item["content"]) for item in items]


@pytest.fixture
async def conversation(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Conversation]:
    asked: list[ModelRequest] = []
    stream = ScriptedModel.stream

    async def recorded(model: ScriptedModel, request: ModelRequest) -> AsyncGenerator[ModelDelta, None]:
        asked.append(request)
        async with aclosing(stream(model, request)) as deltas:
            async for delta in deltas:
                yield delta

    monkeypatch.setattr(ScriptedModel, "stream", recorded)
    store = sqlite_store(tmp_path)
    runtime = LocalRuntime(
        RuntimeParts(
            models=Models(upstream_url=None, upstream_key=None, default=SCRIPT),
            backend=backend,
            store=store,
            audit=AuditLog(tmp_path / "audit.jsonl"),
        )
    )
    yield Conversation(runtime, store.rows, asked)
    for row in await store.rows.containers():
        await runtime.containers.delete(row.id)
    assert await runtime.containers.checkpoints.all() == []
    await runtime.aclose()


def container_of(response: Response) -> str:
    return str(to_json(response)["tools"][0]["environment"]["container_id"])


async def test_it_goes_on_and_the_model_is_told_once(conversation: Conversation, tmp_path: Path) -> None:
    first = await conversation.turn("look")
    container = container_of(first)
    assert conversation.notes() == []
    await conversation.expire(container)
    second = await conversation.turn("remember", previous_response_id=first.id)
    assert container_of(second) == container
    output = next(item for item in to_json(second)["output"] if item["type"] == "shell_call_output")
    assert output["output"][0]["stdout"] == "1\n/mnt/data/sub\n"
    (note,) = conversation.notes()
    assert "restored from its checkpoint" in note
    await conversation.turn("remember", previous_response_id=second.id)
    assert conversation.notes() == []

    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    commands = [line for line in lines if line["event"] == "command"]
    assert [line["command"].split(";")[0] for line in commands] == [
        "echo one",
        "exit 3",
        "echo $X",
        "echo $X",
    ]
    assert [line["response"] for line in commands[:3]] == [first.id, first.id, second.id]
    assert {line["container"] for line in commands} == {container}
    assert [line["exit_code"] for line in lines if line["event"] == "command.end"] == [0, 3, 0, 0]


async def test_a_container_that_is_named_comes_back_too(conversation: Conversation) -> None:
    first = await conversation.turn("look")
    container = container_of(first)
    await conversation.expire(container)
    named = {"type": "shell", "environment": {"type": "container_reference", "container_id": container}}
    second = await conversation.turn("remember", tools=[named])
    assert container_of(second) == container
    (note,) = conversation.notes()
    assert "restored" in note
