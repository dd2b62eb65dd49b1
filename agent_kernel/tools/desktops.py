"""Optional for a tool: a desktop in the container, which the user can watch and take over."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from agent_kernel.protocol.desktop.watching import WatchedScreen
    from agent_kernel.sandboxes.channel import Channel


@runtime_checkable
class ShowsDesktop(Protocol):
    """A `Tool` with a desktop in the container."""

    def watch(self, channel: Channel, place: str) -> AbstractAsyncContextManager[WatchedScreen]:
        """Watch the desktop, which is not started for it. Leaving hands it back.

        One at a time watches at a `place`; others wait.
        """
        ...
