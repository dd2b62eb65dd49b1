"""A pool of fresh sandboxes, so that taking one costs a lookup instead of a start.

Each sandbox is used once and never returned, so no session sees another's data. While it waits, a channel to
it is open. If this process is killed, the lease ends the sandbox, and the next sweep sees by its label that
it has no owner.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from agent_kernel.errors import SandboxError
from agent_kernel.sandboxes.base import Backend, SandboxRef, SandboxSpec
from agent_kernel.sandboxes.channel import Channel

log = logging.getLogger(__name__)

OWNER_LABEL = "agent_kernel.pool"
"""The label with the process that made a sandbox in advance. It stays when the sandbox is taken."""

HEAD_START = 0.05
"""Seconds before a sandbox that was taken is replaced, so that making one does not slow its first command."""


@dataclass(frozen=True)
class Warm:
    """An unused sandbox, with the channel into it."""

    ref: SandboxRef
    channel: Channel


class WarmPool:
    """Keeps `size` sandboxes of the `template` ready; `new_id` names them. Use from one event loop.

    `prepare` is called with the channel into each. A failure to make one is logged as a warning, and tried
    again when one is taken.
    """

    def __init__(
        self,
        backend: Backend,
        size: int,
        template: SandboxSpec,
        new_id: Callable[[], str],
        prepare: Callable[[Channel], Awaitable[None]] | None = None,
    ) -> None:
        self._backend = backend
        self._size = size
        self._template = replace(template, id="")
        self._new_id = new_id
        self._prepare = prepare
        self._ready: deque[Warm] = deque()
        self._filling: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    @property
    def ready(self) -> int:
        """The number of sandboxes that can be taken now."""
        return sum(not warm.channel.closed.is_set() for warm in self._ready)

    async def take(self, spec: SandboxSpec) -> Warm | None:
        """Take a fresh sandbox that equals `spec` except for its id; None if none is ready.

        It belongs to the caller from then on. Another one is made in the background, a little later.
        """
        if replace(spec, id="") != self._template:
            return None
        taken = None
        while self._ready and taken is None:
            warm = self._ready.popleft()
            if warm.channel.closed.is_set():  # it was ended from outside while it waited
                await self._remove(warm)
            else:
                taken = warm
        self.fill(after=0 if taken is None else HEAD_START)
        return taken

    def fill(self, *, after: float = 0) -> None:
        """Begin to fill the pool, in `after` seconds. Returns at once."""
        if self._filling is None or self._filling.done():
            self._filling = asyncio.create_task(self._fill(after), name="warm-pool")

    async def filled(self) -> None:
        """Wait until the pool is full, or filling it has failed."""
        while self._filling is not None and not self._filling.done():
            await asyncio.shield(self._filling)

    async def _fill(self, after: float) -> None:
        await asyncio.sleep(after)
        while len(self._ready) < self._size:
            try:
                self._ready.append(await self._make())
            except SandboxError as error:
                log.warning("No sandbox could be made in advance: %s", error)
                return

    async def _make(self) -> Warm:
        labels = {**self._template.labels, OWNER_LABEL: process_name()}
        ref = await self._backend.create(replace(self._template, id=self._new_id(), labels=labels))
        channel: Channel | None = None
        try:
            channel = await Channel.open(await self._backend.stream(ref))
            if self._prepare is not None:
                await self._prepare(channel)
            return Warm(ref, channel)
        except BaseException:
            if channel is not None:
                await channel.aclose()
            await asyncio.shield(self._backend.delete(ref))
            raise

    async def _remove(self, warm: Warm) -> None:
        await warm.channel.aclose()
        with contextlib.suppress(SandboxError):
            await self._backend.delete(warm.ref)

    async def aclose(self) -> None:
        """Delete the sandboxes that were not taken. Idempotent."""
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.gather(self._filling, return_exceptions=True)
            self._filling = None
        while self._ready:
            await self._remove(self._ready.popleft())


def process_name() -> str:
    """Return a name for this process that no other process of any machine has."""
    return f"{os.getpid()}.{_started(os.getpid())}.{_machine()}"


def is_waiting(labels: Mapping[str, str]) -> bool:
    """Return whether a sandbox with these labels may be in the pool of a living process.

    Of the processes of another machine, or of another container, nothing is known: there the lease decides.
    """
    pid, _, rest = labels.get(OWNER_LABEL, "").partition(".")
    started, _, machine = rest.partition(".")
    if machine and machine != _machine():
        return True
    return pid.isdigit() and _started(int(pid)) == started != ""


@cache
def _machine() -> str:
    """Return a name for what gives this process its pid: a machine since it was started, or a container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot}-{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Return a process's start time in ticks since boot; empty if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[19].decode()
    except OSError:
        return ""
