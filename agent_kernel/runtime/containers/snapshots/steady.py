"""Snapshots and restores of one container follow each other, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from agent_kernel.errors import SandboxBusy

PATIENCE = 60.0
"""Seconds to wait for another snapshot or restore of the same container."""


@asynccontextmanager
async def held(lock: asyncio.Lock, container_id: str) -> AsyncGenerator[None, None]:
    """Hold a container's lock. Raises `SandboxBusy` if it is not free within `PATIENCE`."""
    try:
        async with asyncio.timeout(PATIENCE):
            await lock.acquire()
    except TimeoutError:
        raise SandboxBusy(
            f"A snapshot of container {container_id} is being taken or restored.", hint="Try again later."
        ) from None
    try:
        yield
    finally:
        lock.release()


def in_use(container_id: str) -> SandboxBusy:
    """Return the error for a container in which something runs."""
    return SandboxBusy(
        f"A turn or a command is running in container {container_id}.",
        hint="Wait until it ends, or stop it; then try again.",
    )
