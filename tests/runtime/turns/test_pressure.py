"""A turn never runs far ahead of its reader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.models.base import ModelRequest
from agent_kernel.protocol.deltas import ModelDelta, TextDelta
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.runtime.turns.channel import ROOM
from agent_kernel.store.sqlite.store import sqlite_store


class Endless:
    """Says words for as long as it is asked to."""

    default = "endless"

    def __init__(self) -> None:
        self.said = 0
        self.closed = asyncio.Event()

    def resolve(self, name: str | None) -> tuple[Endless, str]:
        return self, "endless"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelDelta, None]:
        try:
            while True:
                self.said += 1
                yield TextDelta("word ")
        finally:
            self.closed.set()

    async def aclose(self) -> None:
        pass


@pytest.fixture
async def endless(tmp_path: Path) -> AsyncIterator[tuple[Endless, LocalRuntime]]:
    model: Any = Endless()
    no_backend: Any = None  # these turns have no shell
    store = sqlite_store(tmp_path / "store.sqlite")
    runtime = LocalRuntime(RuntimeParts(models=model, backend=no_backend, store=store))
    yield model, runtime
    await runtime.aclose()


@pytest.mark.parametrize("session", [False, True])
async def test_model_waits_for_reader(endless: tuple[Endless, LocalRuntime], session: bool) -> None:
    model, runtime = endless
    request = {"input": "x", "store": False}
    events: Any = runtime.session().respond(request) if session else runtime.respond(request)
    words = 0
    for _ in range(50):
        event = await anext(events)
        words += event.type == "response.output_text.delta"
        for _ in range(20):  # an unbounded turn would go on here
            await asyncio.sleep(0)
        assert model.said <= words + ROOM + 2
    assert words > 30
    await events.aclose()
    assert model.closed.is_set(), "a reader that leaves ends the model's answer"
