"""The stream that comes with a container's start: boxd's own standard input and output.

A later stream is a program that the engine has to start inside first. Who makes a sandbox nearly always wants
a stream into it next, and finds it here. Who wants none holds nothing up: boxd's lease runs until a host has
greeted.
"""

from __future__ import annotations

from agent_kernel.sandboxes.docker.stream import DockerStream


class FirstStreams:
    """Streams of sandboxes that were just made, each until it is taken or its sandbox is deleted."""

    def __init__(self) -> None:
        self._kept: dict[str, DockerStream] = {}

    def __contains__(self, sandbox: str) -> bool:
        """Whether its stream is here."""
        return sandbox in self._kept

    def keep(self, sandbox: str, stream: DockerStream) -> None:
        """Keep the stream into a sandbox that has just been made."""
        self._kept[sandbox] = stream

    async def take(self, sandbox: str) -> DockerStream | None:
        """Hand out its stream, once; None where there is none, or it has ended meanwhile."""
        stream = self._kept.pop(sandbox, None)
        if stream is None or not stream.ended:
            return stream
        await stream.aclose()
        return None

    async def drop(self, sandbox: str) -> None:
        """Close the stream into a sandbox, if it is still here."""
        stream = self._kept.pop(sandbox, None)
        if stream is not None:
            await stream.aclose()

    async def aclose(self) -> None:
        """Close all that nobody took. Idempotent."""
        for sandbox in list(self._kept):
            await self.drop(sandbox)
