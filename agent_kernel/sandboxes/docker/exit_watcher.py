"""Watches the engine's events for the end of a container, and its reason.

The engine closes the streams of a container that ends, but not those of one whose isolation runtime was
killed (gVisor that ran out of memory). Only its events report that.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Literal
from urllib.parse import quote

from agent_kernel.sandboxes.docker.address import Address, expect

_FOLLOWED = ("oom", "die", "destroy", "died", "remove")
"""Events that Docker reports. Podman's filter wants `died` for what it reports as `die`, and `remove`."""

_SAME_CAUSE = 5_000_000_000  # nanoseconds
_KILLED = "137"

Reason = Literal["out of memory", "killed"]


class ContainerEnd:
    """Follows one container's events, from `follow` until its end or `aclose`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._reason: Reason | None = None

    @classmethod
    async def follow(cls, address: Address, version: str, container: str) -> ContainerEnd:
        """Begin to listen. Raises `OSError` if the engine does not answer, and `RequestRefused`."""
        filters = {"type": ["container"], "container": [container], "event": list(_FOLLOWED)}
        path = f"/v{version}/events?filters={quote(json.dumps(filters))}"
        reader, writer = await address.connect()
        try:
            writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())  # 1.0: the answer is not chunked
            await writer.drain()
            await expect(reader, 200)
        except BaseException:
            writer.close()
            raise
        return cls(reader, writer)

    def then(self, ended: Callable[[], None]) -> None:
        """Call `ended()` once, as soon as the container has ended."""
        self._task = asyncio.create_task(self._listen(ended))

    async def _listen(self, ended: Callable[[], None]) -> None:
        out_of_memory_at = 0
        with contextlib.suppress(OSError, ValueError):  # the engine is gone: the stream ends too
            while line := await self._reader.readline():
                event = json.loads(line)
                if event["Action"] == "oom":
                    out_of_memory_at = event["timeNano"]
                    continue
                # A command may have run out of memory long before, while the sandbox lived on.
                recent = event["timeNano"] - out_of_memory_at < _SAME_CAUSE
                killed = event["Actor"]["Attributes"].get("exitCode") == _KILLED
                self._reason = "out of memory" if recent else "killed" if killed else None
                self._ended.set()
                ended()
                return

    async def reason(self, within: float) -> Reason | None:
        """Wait up to `within` seconds for the end, and return its reason if the engine reported one.

        "killed" may mean out of memory as well: a busy engine can lose that event.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._ended.wait()
        return self._reason

    async def aclose(self) -> None:
        """Stop listening. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
