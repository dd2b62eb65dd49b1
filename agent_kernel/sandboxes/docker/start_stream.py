"""The stream that comes with a container's start: boxd's own standard input and output.

For a later stream, the engine has to start a program inside first. Callers almost always open a stream right
after `create`, so this one is kept for them. An unused one blocks nothing: boxd's lease runs until a host has
greeted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent_kernel.sandboxes.docker.start import StartedContainer
from agent_kernel.sandboxes.docker.stream import DockerStream


class FirstStreams:
    """Keeps the streams of new sandboxes, each until it is taken or its sandbox is deleted."""

    def __init__(self) -> None:
        self._kept: dict[str, StartedContainer] = {}

    def __contains__(self, sandbox: str) -> bool:
        """Return whether the sandbox's stream is here."""
        return sandbox in self._kept

    def keep(self, sandbox: str, started: StartedContainer) -> None:
        """Keep the stream into a sandbox that has just been made."""
        self._kept[sandbox] = started

    def container(self, sandbox: str) -> Mapping[str, Any] | None:
        """Return what the engine said of a sandbox at its start; None if its stream is not here."""
        started = self._kept.get(sandbox)
        return None if started is None else started.container

    async def take(self, sandbox: str) -> DockerStream | None:
        """Return the stream, once. None if there is none, or if it has ended."""
        started = self._kept.pop(sandbox, None)
        if started is None:
            return None
        if not started.stream.ended:
            return started.stream
        await started.stream.aclose()
        return None

    async def drop(self, sandbox: str) -> None:
        """Close the stream into a sandbox, unless it was taken."""
        started = self._kept.pop(sandbox, None)
        if started is not None:
            await started.stream.aclose()

    async def aclose(self) -> None:
        """Close all streams that were not taken. Idempotent."""
        for sandbox in list(self._kept):
            await self.drop(sandbox)
