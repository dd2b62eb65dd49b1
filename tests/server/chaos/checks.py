"""What must hold after a storm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from openai import AsyncOpenAI

from tests.server.chaos.storm import TOKENS, Client, Told, Upstream


async def check(client: AsyncOpenAI, clients: list[Client], upstream: Upstream, turns: int) -> None:
    """Every chain and conversation goes on, and what the clients were told is so."""
    for each in clients:
        await each.go_on(client)
    told = {name: told for each in clients for name, told in each.told.items()}
    for response_id, what in told.items():
        await _check_response(client, response_id, what)
    for conversation in [name for each in clients for name in each.conversations]:
        await _check_conversation(client, conversation, told)
    await _check_commands(client, upstream.issued, told, turns)
    async for container in client.containers.list(limit=100):
        await client.containers.delete(container.id)


async def _check_response(client: AsyncOpenAI, response_id: str, told: Told) -> None:
    """What was said to be finished is there as it was said, and every call has its output."""
    stored = await client.responses.retrieve(response_id)
    assert stored.status == (told.status or stored.status)
    assert stored.output_text == (stored.output_text if told.text is None else told.text)
    if stored.status == "incomplete":
        assert stored.incomplete_details is not None
        assert str(stored.incomplete_details.reason) == "agent_kernel.interrupted"
    else:
        assert stored.status == "completed"
    kept: list[Any] = list(stored.output)
    by_id = {item.id: item.to_dict() for item in kept}
    assert len(by_id) == len(kept)
    assert {name: by_id.get(name) for name in told.items} == told.items
    calls = [item.call_id for item in kept if item.type == "shell_call"]
    assert len(calls) == len(set(calls))
    assert sorted(calls) == sorted(item.call_id for item in kept if item.type == "shell_call_output")


async def _check_conversation(client: AsyncOpenAI, conversation: str, told: dict[str, Told]) -> None:
    items = [item async for item in client.conversations.items.list(conversation, limit=100)]
    ids = [item.id for item in items]
    assert len(ids) == len(set(ids))
    for what in told.values():
        if what.conversation == conversation:
            assert set(what.items) <= set(ids)


async def _check_commands(client: AsyncOpenAI, issued: set[str], told: dict[str, Told], turns: int) -> None:
    """No command ran twice, and each that was said to have ended well has run."""
    ran = Counter[str]()
    used = {what.container for what in told.values()}
    async for container in client.containers.list(limit=100):
        if container.id in used:  # others may have been cut off in their start, before anybody knew of them
            ran.update(await tokens(client, container.id))
    assert [token for token, times in ran.items() if times > 1] == []
    assert set(ran) <= issued
    ended = {
        content["stdout"].strip()
        for what in told.values()
        for item in what.items.values()
        if item["type"] == "shell_call_output"
        for content in item["output"]
        if content["outcome"] == {"type": "exit", "exit_code": 0}
    }
    assert len(ended) > turns // 4
    assert ended <= set(ran)


async def tokens(client: AsyncOpenAI, container_id: str) -> list[str]:
    async for file in client.containers.files.list(container_id):
        if file.path == TOKENS:
            content = await client.containers.files.content.retrieve(file.id, container_id=container_id)
            return content.text.split()
    return []


def left(data: Path) -> Iterator[str]:
    """Processes, mounts and folders of sandboxes that nobody has any more."""
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or [])
        if str(data) in command:
            yield command
    yield from (line for line in Path("/proc/self/mounts").read_text().splitlines() if str(data) in line)
    with suppress(FileNotFoundError):
        yield from map(str, (data / "sandboxes").iterdir())
