"""A desktop as a page shows it: pieces of the screen, who has it, and what the user does with it.

The live view and the page of its own use this, each with its own way to send.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from agent_kernel.errors import AgentKernelError, InvalidRequest
from agent_kernel.protocol.desktop.items import CALL, shown
from agent_kernel.protocol.desktop.watching import (
    MOST_EVENTS,
    DesktopNews,
    Json,
    ScreenPiece,
    WatchedScreen,
    read_events,
)

Watch = Callable[[str, str], AbstractAsyncContextManager[WatchedScreen]]
"""Watch the desktop of a container at a place; see `OpensDesktops.desktop`."""

Send = Callable[[dict[str, Any], list[bytes]], None]
"""Send a message with buffers to the page."""

ABSENT = "The desktop is not shown."
MOST_WAITING = 4 * MOST_EVENTS
MOST_UNSEEN = 1000
"""Pieces that may come before the page says that it has shown a frame."""
_APART = 0.02
"""Seconds between two messages with the state."""


class ShownDesktop:
    """The desktop that a page shows, from `begin` to `close`. Use it from the event loop."""

    def __init__(self, watch: Watch, send: Send, place: str) -> None:
        self._watch = watch
        self._send = send
        self._place = place
        self._screen: WatchedScreen | None = None
        self._run: asyncio.Task[None] | None = None
        self._taking: asyncio.Task[None] | None = None
        self._acting: asyncio.Task[None] | None = None
        self._small: set[asyncio.Task[None]] = set()
        self._events: list[Json] = []
        self._news = DesktopNews(False, False, None)
        self._mine = False
        self._why = ""
        self._timer: asyncio.TimerHandle | None = None
        self._untold = False
        self._unseen = 0

    @property
    def ended(self) -> asyncio.Task[None] | None:
        """What is done once nothing is watched any more; None before `begin`."""
        return self._run

    @property
    def state(self) -> dict[str, Any]:
        """What the page shows besides the screen. `taken` says who has the desktop, "" for the model."""
        waits = self._taking is not None and not self._taking.done()
        action = self._news.action or {}
        place = [action.get("x"), action.get("y")]
        return {
            "open": self._screen is not None,
            "running": self._news.running,
            "taken": "you" if self._mine else "waiting" if waits else "other" if self._news.user else "",
            "caption": shown(action) if action else "",
            "at": place if all(isinstance(each, int) for each in place) else None,
            "why": self._why,
        }

    def begin(self, container_id: str) -> None:
        """Watch the desktop of a container, unless one is watched already."""
        if self._run is None or self._run.done():
            self._run = asyncio.get_running_loop().create_task(self._carry(container_id))

    def close(self) -> None:
        """Hand the desktop back and watch no more. Idempotent."""
        for task in (self._taking, self._acting, self._run):
            if task is not None:
                task.cancel()

    async def _carry(self, container_id: str) -> None:
        try:
            async with self._watch(container_id, self._place) as screen:
                self._screen = screen
                self._tell()
                while True:
                    self._show(await screen.read())
        except AgentKernelError as error:
            self._why = str(error)
        finally:
            self._screen, self._mine, self._news = None, False, DesktopNews(False, False, None)
            self._tell()

    def _show(self, found: ScreenPiece | DesktopNews) -> None:
        if isinstance(found, DesktopNews):
            if self._mine and not found.running:
                self._soon(self._lost())
            self._news = found
            self._tell()
            return
        self._unseen += 1
        if self._unseen > MOST_UNSEEN:
            raise InvalidRequest("The desktop sends more pictures than it may.")
        piece = {
            "frame": found.frame,
            "last": found.last,
            "top": found.top,
            "width": found.width,
            "height": found.height,
        }
        self._send({"piece": piece}, [found.png])

    def _tell(self) -> None:
        """Send the state, a little later if it was sent just now: a sandbox may have very much news."""
        if self._timer is not None:
            self._untold = True
            return
        self._send({"screen": self.state}, [])
        self._timer = asyncio.get_running_loop().call_later(_APART, self._told)

    def _told(self) -> None:
        self._timer = None
        if self._untold:
            self._untold = False
            self._tell()

    # -- what the user does -------------------------------------------------------------------------------

    def hears(self, content: Mapping[str, Any]) -> bool:
        """Take a message that nobody waits for an answer to. Return whether it was one."""
        match content:
            case {"type": "seen", "frame": int(frame)}:
                self._unseen = 0
                if self._screen is not None:
                    self._soon(self._screen.seen(frame))
            case {"type": "look"}:
                self._unseen = 0
                self._tell()
                if self._screen is not None:
                    self._soon(self._screen.look())
            case {"type": "hands", "events": events}:
                self._act(events)
            case _:
                return False
        return True

    async def do(self, content: Mapping[str, Any]) -> str | None:
        """Take the desktop over, or hand it back. Return None, or why it was not done."""
        screen = self._screen
        if screen is None:
            return self._why or ABSENT
        if content.get("type") == "hand_back":
            await self._hand_back(screen)
        elif not self._mine and (self._taking is None or self._taking.done()):
            self._why = ""
            self._taking = asyncio.get_running_loop().create_task(self._take(screen))
            self._tell()
        return None

    async def _take(self, screen: WatchedScreen) -> None:
        try:
            await screen.take()
            self._mine = True
        except AgentKernelError as error:
            self._why = str(error)
        finally:
            self._taking = None
            self._tell()

    async def _hand_back(self, screen: WatchedScreen) -> None:
        if self._taking is not None:
            self._taking.cancel()
        if self._acting is not None:
            await asyncio.wait({self._acting})
        self._mine = False
        await screen.hand_back()
        self._tell()

    def _act(self, events: object) -> None:
        """Do what the user does, after what was done before. Without the desktop it does nothing."""
        try:
            read = read_events(events)
        except InvalidRequest as error:
            self._why = str(error)
            self._tell()
            return
        if not self._mine or len(self._events) + len(read) > MOST_WAITING:
            return
        self._events += read
        if self._acting is None or self._acting.done():
            self._acting = asyncio.get_running_loop().create_task(self._act_all())

    async def _act_all(self) -> None:
        while self._events and self._screen is not None:
            events, self._events = self._events[:MOST_EVENTS], self._events[MOST_EVENTS:]
            try:
                await self._screen.act(events)
            except AgentKernelError as error:
                self._events, self._mine, self._why = [], False, str(error)
                self._tell()

    async def _lost(self) -> None:
        """Let go of a desktop that has ended while the user had it."""
        self._mine = False
        if self._screen is not None:
            await self._screen.hand_back()

    def _soon(self, doing: Any) -> None:
        task = asyncio.get_running_loop().create_task(_unless_gone(doing))
        self._small.add(task)
        task.add_done_callback(self._small.discard)


async def _unless_gone(doing: Any) -> None:
    """Do something for a screen; what reads it says if it is gone."""
    try:
        await doing
    except AgentKernelError:
        return


def container_of(event: Any) -> str | None:
    """Return the container whose desktop a call uses that an event finishes; None for other events."""
    if event.type != "response.output_item.done" or event.item.type != CALL:
        return None
    ours = event.item.to_dict(mode="json", warnings=False).get("agent_kernel")
    found = ours.get("container_id") if isinstance(ours, Mapping) else None
    return found if isinstance(found, str) else None
