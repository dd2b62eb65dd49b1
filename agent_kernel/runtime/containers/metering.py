"""The meters of a runtime's containers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from agent_kernel.runtime.observe.compute import ComputeMeter, ComputeUse
from agent_kernel.sandboxes.base import SandboxRef
from agent_kernel.sandboxes.optional import ComputeUsage, metering_of

if TYPE_CHECKING:
    from agent_kernel.runtime.containers.lifecycle import Lifecycle


class ContainerMetering:
    """Meters the containers of `lifecycle` while turns run calls in them."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle

    @asynccontextmanager
    async def running(self, container_id: str, turn: str) -> AsyncGenerator[None, None]:
        """Meter a call of a turn, while its container's channel is open."""
        attachment = self._lifecycle.attachment(container_id)
        if attachment.meter is None:
            backend = await self._lifecycle.engine()
            sent = partial(self._lifecycle.networks.sent, container_id)
            attachment.meter = ComputeMeter(backend.name, self._read, sent)
        async with attachment.meter.running(attachment.sandbox, turn):
            yield

    async def take(self, container_id: str, turn: str) -> ComputeUse | None:
        """Return what a container used that is not counted yet. None if this turn ran no call in it."""
        attachment = self._lifecycle.held(container_id)
        if attachment is None or attachment.meter is None:
            return None
        return await attachment.meter.take(turn)

    async def _read(self, sandbox: str) -> ComputeUsage | None:
        backend = self._lifecycle.opened
        metering = None if backend is None else metering_of(backend)
        if backend is None or metering is None:
            return None
        return await metering.usage(SandboxRef(sandbox, backend.name, "running"))
