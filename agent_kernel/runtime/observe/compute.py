"""The meter of one container: readings of its counters, and what a turn used between them.

It is read before the first call in a sandbox, at the end of each turn that ran a call, and every few seconds
while calls run. All processor time between two readings belongs to the turn that ends next, also what
background processes use between turns. Memory counts while calls run: what is held at a reading, for the time
since the reading before. A source that answers slowly, as an older engine on another machine, is read in the
background: no turn waits for it, and what its last reading did not have yet is part of the next turn.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from agent_kernel.errors import SandboxError
from agent_kernel.sandboxes.optional import ComputeUsage

log = logging.getLogger(__name__)

EVERY = 5.0
"""Seconds between two readings while calls run."""

PATIENCE = 2.0
"""Seconds that a turn waits for a reading."""

BACKGROUND_PATIENCE = 5.0
"""Seconds that a reading in the background may take."""

MEASURED = ("cpu_seconds", "memory_byte_seconds")
"""What `not_measured` names where it could not be read."""


@dataclass
class ComputeUse:
    """What a container used. Processor time and memory are None if they could not be read."""

    backend: str
    cpu_seconds: float | None = None
    memory_byte_seconds: float | None = None
    bytes_out: int = 0

    def shown(self) -> Mapping[str, Any]:
        """Return it as a response shows it in `agent_kernel.compute`."""
        if self.cpu_seconds is None or self.memory_byte_seconds is None:
            return {"bytes_out": self.bytes_out, "not_measured": list(MEASURED)}
        return {
            "bytes_out": self.bytes_out,
            "cpu_seconds": round(self.cpu_seconds, 6),
            "memory_byte_seconds": round(self.memory_byte_seconds),
        }

    def counts(self) -> Mapping[str, float]:
        """Return it as amounts of the counters in `/metrics`."""
        sent = {"sandbox_sent_bytes_total": self.bytes_out}
        if self.cpu_seconds is None or self.memory_byte_seconds is None:
            return {**sent, "sandbox_unmeasured_turns_total": 1}
        return {
            **sent,
            "sandbox_cpu_seconds_total": self.cpu_seconds,
            "sandbox_memory_byte_seconds_total": self.memory_byte_seconds,
        }


class ComputeMeter:
    """Meters one container. `read` reads its present sandbox, and `sent` returns the bytes sent out so far.

    A reading that fails is logged once, and what it would have shown is in the next one.
    """

    def __init__(
        self,
        backend: str,
        read: Callable[[str], Awaitable[ComputeUsage | None]],
        sent: Callable[[], int],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._use = ComputeUse(backend)
        self._read = read
        self._sent = sent
        self._now = now
        self._sandbox = ""
        self._last: float | None = None
        self._out = sent()
        self._running = 0
        self._since = self._busy = 0.0
        self._turns: set[str] = set()
        self._reading = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._sampling: asyncio.Task[None] | None = None
        self._failed = self._slow = False

    @asynccontextmanager
    async def running(self, sandbox: str, turn: str) -> AsyncGenerator[None, None]:
        """Meter a call of a turn, in the sandbox of this id."""
        self._turns.add(turn)
        if sandbox != self._sandbox:
            await self._begin(sandbox)
        if self._running == 0:
            self._since = self._now()
            self._sample_later()
        self._running += 1
        try:
            yield
        finally:
            self._count_time()
            self._running -= 1
            if self._running == 0 and self._timer is not None:
                self._timer.cancel()
                self._timer = None
                if self._slow:  # it may answer before the model has
                    self._sample()

    async def take(self, turn: str) -> ComputeUse | None:
        """Return what was used since the last time that a turn took it. None if this turn ran no call."""
        if turn not in self._turns:
            return None
        self._turns.discard(turn)
        if not self._slow:
            await self.look(PATIENCE)
        elif self._sampling is not None:
            await asyncio.wait({self._sampling}, timeout=PATIENCE)
        taken, self._use = self._use, ComputeUse(self._use.backend)
        sent = self._sent()
        taken.bytes_out, self._out = max(0, sent - self._out), sent
        return taken

    async def look(self, patience: float = BACKGROUND_PATIENCE) -> None:
        """Read the counters, and add what was used since the reading before."""
        async with self._reading:
            found = (
                await self._found(self._sandbox, patience) if self._sandbox else None
            )  # the call may have been cut off
            if found is None:
                return
            self._count_time()
            busy, self._busy = self._busy, 0.0
            if self._last is not None:
                used = max(0.0, found.cpu_seconds - self._last)
                self._use.cpu_seconds = (self._use.cpu_seconds or 0.0) + used
                held = self._use.memory_byte_seconds or 0.0
                self._use.memory_byte_seconds = held + busy * found.memory_bytes
            self._last = max(found.cpu_seconds, self._last or 0.0)

    async def _begin(self, sandbox: str) -> None:
        """Begin with a sandbox. What it used before, by its start for example, is not counted."""
        async with self._reading:
            if sandbox != self._sandbox:  # otherwise a parallel call has begun with it
                found = await self._found(sandbox, PATIENCE)
                self._last = None if found is None else found.cpu_seconds
                self._sandbox = sandbox

    async def _found(self, sandbox: str, patience: float) -> ComputeUsage | None:
        try:
            async with asyncio.timeout(patience):
                found = await self._read(sandbox)
        except (SandboxError, TimeoutError) as error:
            level = logging.DEBUG if self._failed else logging.WARNING
            self._failed = True
            why = str(error) or f"There was no answer within {patience:g} s."
            log.log(level, "What the sandbox %s uses could not be read: %s", sandbox, why)
            return None
        self._slow = found is not None and found.slow
        return found

    def _count_time(self) -> None:
        if self._running:
            now = self._now()
            self._busy += now - self._since
            self._since = now

    def _sample_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(EVERY, self._begin_sample)

    def _begin_sample(self) -> None:
        self._sample()
        self._sample_later()

    def _sample(self) -> None:
        if self._sampling is None or self._sampling.done():
            self._sampling = asyncio.create_task(self.look(), name="container-metering")
