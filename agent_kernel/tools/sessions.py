"""Optional for a tool: its calls share a session in the container, and clients may ask about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from agent_kernel.sandboxes.channel import Channel

Json = Mapping[str, Any]


@runtime_checkable
class KeepsSession(Protocol):
    """A `Tool` with a session. The questions are in `runtime.sessions`."""

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
