"""What a tool may offer in addition: a session that clients ask about, and a desktop that users watch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from agent_kernel.protocol.desktop.watching import WatchedScreen
    from agent_kernel.sandboxes.channel import Channel

Json = Mapping[str, Any]


@runtime_checkable
class KeepsSession(Protocol):
    """A `Tool` whose calls share a session in the container. The questions are in `runtime.sessions`."""

    async def ask(self, question: Json, channel: Channel) -> Json:
        """Answer a client's question about the session in a container, which is not started for it.

        Raises `InvalidRequest` for a malformed question; `SandboxGone`, `SandboxUnreachable`,
        `ChannelBroken`. Cancelling interrupts the answer.
        """
        ...


@runtime_checkable
class NamesVariables(Protocol):
    """A `Tool` that knows the variables of its sessions."""

    async def variables(self, channel: Channel) -> Sequence[str]:
        """Return the names of variables in the sessions that run in a container.

        Raises `SandboxGone`, `SandboxUnreachable`, `ChannelBroken`.
        The names are a claim of the sandbox, bounded and printable.
        """
        ...


@runtime_checkable
class ShowsDesktop(Protocol):
    """A `Tool` with a desktop in the container, which the user can watch and take over."""

    def watch(self, channel: Channel, place: str) -> AbstractAsyncContextManager[WatchedScreen]:
        """Watch the desktop, which is not started for it. Leaving hands it back.

        Each `place` has one watcher at a time; others wait.
        """
        ...
