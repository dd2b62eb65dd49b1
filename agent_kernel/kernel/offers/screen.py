"""The desktop of a notebook's container, and the entry of `tools` that offers it to the model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import CapabilityMissing, InvalidRequest
from agent_kernel.protocol.desktop.items import RULES

if TYPE_CHECKING:
    from agent_kernel.kernel.desktop.bridge import DesktopBridge
    from agent_kernel.protocol.desktop.watching import WatchedScreen
    from agent_kernel.runtime.base import Runtime


class NotebookScreen:
    """Whether the model may use the desktop, as `%screen` says, and what it may do there without asking.

    `runtime` opens the runtime.
    """

    def __init__(self, runtime: Callable[[], Awaitable[Runtime]]) -> None:
        self._runtime = runtime
        self._bridge: DesktopBridge | None = None
        self.offered = False
        self.allowed: tuple[str, ...] = ()

    def offer(self, allowed: Sequence[str]) -> None:
        """Offer the desktop; `allowed` are rules that do not hold. Raises `InvalidRequest`."""
        if unknown := [each for each in allowed if each not in RULES]:
            raise InvalidRequest(
                f"%screen cannot allow {unknown[0]!r}.", hint=f"It can allow {', '.join(RULES)}."
            )
        self.offered, self.allowed = True, tuple(allowed)

    def tool(self, container_id: str) -> dict[str, Any]:
        """Return the entry of `tools`."""
        ask = [each for each in RULES if each not in self.allowed]
        return {"type": "computer", "agent_kernel": {"container": container_id, "ask": ask}}

    @asynccontextmanager
    async def watch(self, container_id: str, place: str) -> AsyncGenerator[WatchedScreen, None]:
        """Watch the desktop of a container; see `OpensDesktops`. Raises `CapabilityMissing` without that."""
        from agent_kernel.runtime.front_ends import OpensDesktops

        containers = (await self._runtime()).containers
        if not isinstance(containers, OpensDesktops):
            raise CapabilityMissing(
                "The server that runs this notebook's container does not show its desktop live.",
                hint="%screen shows the screen as it is now.",
            )
        async with containers.desktop(container_id, place) as screen:
            yield screen

    def bridge(self) -> DesktopBridge:
        """Return the bridge to a browser tab, made at the first call, which loads its libraries."""
        from agent_kernel.kernel.desktop.bridge import DesktopBridge

        if self._bridge is None:
            self._bridge = DesktopBridge(self.watch)
        return self._bridge

    def close(self) -> None:
        """Close the bridge, if there is one. Idempotent."""
        if self._bridge is not None:
            self._bridge.close()
