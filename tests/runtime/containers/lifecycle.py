"""Containers under test: commands in them, the passing of an hour, and waits for what follows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from agent_kernel.runtime.containers.containers import LocalContainers
from agent_kernel.sandboxes.channel import Output
from agent_kernel.store.rows import Rows

Make = Callable[..., LocalContainers]
Audited = Callable[..., list[dict[str, Any]]]


async def run(containers: LocalContainers, container: str, command: str) -> str:
    data = b""
    async with containers.use(container, to_run=True) as channel, aclosing(channel.run(command)) as events:
        async for event in events:
            if isinstance(event, Output):
                data += event.data
    return data.decode()


async def ticks(containers: LocalContainers, container: str) -> int:
    async with containers.use(container) as channel:
        return (await channel.stat("/tmp/ticks")).size


async def until(condition: Callable[[], Any], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (nothing tells of it)
            await asyncio.sleep(0.02)


async def until_async(condition: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110 (nothing tells of it)
            await asyncio.sleep(0.02)


async def expire(store: Rows, containers: LocalContainers, container: str) -> None:
    """As if an hour had passed."""
    await age(store, container)
    containers.refresh()

    async def expired() -> bool:
        return (await containers.retrieve(container)).status == "expired"

    await until_async(expired)
    async with containers._lifecycle.attachment(container).lock:  # until it has been removed, too
        pass


async def age(store: Rows, container: str) -> None:
    """Make it look as if it had been idle for an hour."""
    row = await store.container(container)
    assert row is not None
    await store.put_container(replace(row, last_active_at=row.last_active_at - 3600))


TICK = "(while :; do echo >>/tmp/ticks; sleep 0.01; done) & until [ -e /tmp/ticks ]; do sleep 0.01; done"
