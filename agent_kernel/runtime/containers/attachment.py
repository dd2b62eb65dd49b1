"""The state of one container in this process: its channel, its users, and the timer that pauses it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Literal

from agent_kernel.errors import SandboxError
from agent_kernel.runtime.observe.compute import ComputeMeter
from agent_kernel.runtime.progress import listener
from agent_kernel.sandboxes.channel import Channel

log = logging.getLogger(__name__)

Return = Literal["expired", "dead", "dead_said", "put_back"]
"""What a container was brought back from: its expiry, or the death of its sandbox (`_said`: the listener of
that call got `BACK_FROM_DEATH`). `put_back`: it went back to a snapshot, as it was asked to."""

BACK_FROM_DEATH = (
    "The container was ended from outside and was restored with its files and installed packages; its"
    " processes, shell variables and working directory are gone."
)


class Attachment:
    """One container of this process. `lock` is held while its sandbox comes or goes.

    `channel` leads into `sandbox`. `changing` is held while a snapshot is taken or restored. `users` counts
    the operations under way, and `turns` those of them that are turns; `put_back` how often it went back to a
    snapshot. `meter` has what it uses, once calls have run.
    """

    def __init__(self, pause_after: float, on_pause: Callable[[], None]) -> None:
        self.lock = asyncio.Lock()
        self.changing = asyncio.Lock()
        self.tenant = ""
        self.channel: Channel | None = None
        self.sandbox = ""
        self.users = 0
        self.turns = 0
        self.paused = False
        self.put_back = 0
        self.meter: ComputeMeter | None = None
        self.brought_back: Return | None = None
        self._pause_after = pause_after
        self._on_pause = on_pause
        self._timer: asyncio.TimerHandle | None = None
        self._pausing: asyncio.Task[None] | None = None

    @property
    def open(self) -> Channel | None:
        """The channel, if it is open and nothing is being done to the sandbox."""
        return None if self.lock.locked() else self._usable()

    def _usable(self) -> Channel | None:
        return None if self.channel is None or self.channel.closed.is_set() else self.channel

    @asynccontextmanager
    async def steady(self) -> AsyncGenerator[Channel | None, None]:
        """Hold the lock: the sandbox neither comes nor goes meanwhile. Yield the channel, if it is open."""
        async with self.lock:
            yield self._usable()

    def lead_into(self, sandbox: str, channel: Channel) -> None:
        """Use another channel, which leads into the sandbox of this id."""
        self.sandbox, self.channel, self.paused = sandbox, channel, False

    def note_return(self, *, died: bool) -> None:
        """Record that the sandbox was restored. After a death, notify the current call's listener."""
        self.brought_back = "dead" if died else "expired"
        if died and (tell := listener()) is not None:
            tell(BACK_FROM_DEATH)
            self.brought_back = "dead_said"

    def is_used(self) -> bool:
        """Return whether an operation is under way."""
        return self.users > 0

    def begin(self, *, turn: bool = False) -> None:
        """Count a new use."""
        self.users += 1
        self.turns += turn
        self._call_off()

    def end(self, *, turn: bool = False) -> None:
        """Count the end of a use. After the last one the idle timer starts."""
        self.users -= 1
        self.turns -= turn
        self.wait()

    def wait(self) -> None:
        """Pause it when it has not been used for a while."""
        self._call_off()
        if not self.is_used() and self._pause_after > 0:
            self._timer = asyncio.get_running_loop().call_later(self._pause_after, self._pause)

    def _call_off(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _pause(self) -> None:
        self._pausing = asyncio.create_task(self._pause_now(), name="container-pause")

    async def _pause_now(self) -> None:
        channel = self.open
        if channel is None or self.is_used():
            return
        try:
            paused = await channel.pause(idle=True)
        except SandboxError as error:  # its next use reports what has happened to it
            log.debug("An idle container could not be paused: %s", error)
            return
        if not paused:  # another host uses it
            self.wait()
        elif not self.is_used() and not self.paused:
            self.paused = True
            self._on_pause()

    async def aclose(self) -> None:
        """Close the channel; the sandbox stays as it is. It can be attached again."""
        self._call_off()
        if self._pausing is not None:
            self._pausing.cancel()
            await asyncio.gather(self._pausing, return_exceptions=True)
            self._pausing = None
        channel, self.channel = self.channel, None
        if channel is not None:
            await channel.aclose()
