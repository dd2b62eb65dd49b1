"""Repeat the user's turns with several models at the same time, each in a container of its own."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Protocol

from agent_kernel.conversion.containers import (
    CopiedFile,
    fresh_container,
    made_files,
    put_files,
)
from agent_kernel.conversion.replay.prompts import ReplayPrompt
from agent_kernel.errors import AgentKernelError, NotFound
from agent_kernel.runtime.base import Runtime
from agent_kernel.store.records import ResponseRow


class ReplayWatcher(Protocol):
    """Is told how far the replays have come."""

    def turn(self, model: str, number: int, count: int) -> None:
        """A model begins with a turn."""
        ...

    def failed(self, model: str, why: str) -> None:
        """A model ends early."""
        ...


@dataclass
class ModelReplay:
    """What one model did, as far as it has come. `seconds` has the time of each turn in `rows`."""

    model: str
    rows: list[ResponseRow] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    files: Mapping[str, int] = field(default_factory=dict)
    """The files at the end that are not the user's, with their bytes."""
    error: str = ""
    """Why it ended early; empty if it did not."""
    begun: list[str] = field(default_factory=list)
    """The ids of all responses, also of one that was interrupted."""


@dataclass(frozen=True)
class ReplaySetUp:
    """What all models get: the turns, and containers with these files and parameters."""

    prompts: Sequence[ReplayPrompt]
    uploads: Sequence[CopiedFile]
    params: Mapping[str, Any]


async def replay_all(
    runtime: Runtime, set_up: ReplaySetUp, replays: Sequence[ModelReplay], progress: ReplayWatcher
) -> None:
    """Fill in the replays, all at once. A model that fails does not stop the others.

    Containers and responses are removed at the end, also when cancelled: then the replays have what was done.
    """
    async with asyncio.TaskGroup() as group:
        for each in replays:
            group.create_task(_replay(runtime, set_up, each, progress))


async def _replay(
    runtime: Runtime, set_up: ReplaySetUp, replay: ModelReplay, progress: ReplayWatcher
) -> None:
    replay.error = "It was interrupted."
    try:
        async with fresh_container(runtime, {**set_up.params, "name": "replay"}) as container_id:
            try:
                await put_files(runtime, container_id, set_up.uploads)
                replay.error = await _turns(runtime, set_up.prompts, container_id, replay, progress)
                replay.files = await made_files(runtime.containers, container_id)
            finally:
                await asyncio.shield(_forget(runtime, replay.begun))
    except AgentKernelError as error:
        replay.error = error.message
        progress.failed(replay.model, error.message)


async def _turns(
    runtime: Runtime,
    prompts: Sequence[ReplayPrompt],
    container_id: str,
    replay: ModelReplay,
    progress: ReplayWatcher,
) -> str:
    """Run the turns and return why they ended early, or an empty text."""
    previous: str | None = None
    for number, prompt in enumerate(prompts, 1):
        progress.turn(replay.model, number, len(prompts))
        begun = time.monotonic()
        row = await _turn(runtime, prompt, prompt.request(replay.model, container_id, previous), replay.begun)
        replay.rows.append(row)
        replay.seconds.append(time.monotonic() - begun)
        if row.status == "failed":
            why = (row.response.get("error") or {}).get("message") or "The turn failed."
            progress.failed(replay.model, str(why))
            return str(why)
        previous = row.id
    return ""


async def _turn(
    runtime: Runtime, prompt: ReplayPrompt, request: Mapping[str, Any], begun: list[str]
) -> ResponseRow:
    response: dict[str, Any] = {}
    async with aclosing(runtime.respond(request)) as events:
        async for event in events:
            if event.type == "response.created":
                begun.append(event.response.id)
            elif (
                event.type == "response.completed"
                or event.type == "response.incomplete"
                or event.type == "response.failed"
            ):
                response = event.response.to_dict(mode="json", warnings=False)
    items = [{"id": f"msg_{place}", **item} for place, item in enumerate(prompt.fields["input"])]
    return ResponseRow(
        id=str(response.get("id") or ""),
        created_at=float(response.get("created_at") or 0),
        status=str(response.get("status") or "failed"),
        model=str(request["model"]),
        previous_id=request.get("previous_response_id"),
        container_id=None,
        request={"tools": prompt.tools},
        input=items,
        response={"output": [], **response},
    )


async def _forget(runtime: Runtime, ids: Sequence[str]) -> None:
    for each in reversed(ids):
        with contextlib.suppress(NotFound):  # it was not stored
            await runtime.delete(each)
