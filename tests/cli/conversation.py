"""Hold a conversation over a file, in a runtime of the test's own data folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from agent_kernel.cli import compose
from agent_kernel.config import load
from agent_kernel.runtime.base import Runtime

PEOPLE = b"name,age\nAda,36\nBob,41\n"


async def once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def ask(runtime: Runtime, container_id: str, prompt: str, previous: str | None) -> str:
    tools: list[Mapping[str, Any]] = [
        {"type": "shell", "environment": {"type": "container_reference", "container_id": container_id}},
        {"type": "code_interpreter", "container": container_id, "agent_kernel": {"outputs": True}},
    ]
    request = {"input": prompt, "tools": tools, "previous_response_id": previous}
    events = [event async for event in runtime.respond(request)]
    assert events[-1].type == "response.completed", events[-1]
    return str(events[-1].response.id)


async def conversation(
    data: Path, sandbox: str, model: str, prompts: list[str], file: tuple[str, bytes] = ("people.csv", PEOPLE)
) -> tuple[str, str]:
    """Hold a conversation over a file; return the ids of its last response and of its container."""
    settings = load({"data_dir": str(data), "sandbox": sandbox, "model": model})
    runtime = compose.local_runtime(settings, lease=120)
    try:
        made = await runtime.containers.create({"name": "people"})
        await runtime.containers.files.create(made.id, path=file[0], content=once(file[1]))
        last = None
        for prompt in prompts:
            last = await ask(runtime, made.id, prompt, last)
        assert last is not None
        return last, made.id
    finally:
        await runtime.aclose()
