"""One who watches a desktop in tests, and what the user does there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from agent_kernel.protocol.desktop.watching import DesktopNews, ScreenPiece
from agent_kernel.tools.computer.watching import Watched, watch_desktop
from tests.tools.computer.conftest import Desk, Json


class Watcher:
    """Reads all that one who watches gets, and acknowledges each frame."""

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self.pieces: list[ScreenPiece] = []
        self.news: list[DesktopNews] = []
        self._changed = asyncio.Condition()

    async def read(self) -> None:
        while True:
            found = await self.watched.read()
            async with self._changed:
                if isinstance(found, ScreenPiece):
                    self.pieces.append(found)
                else:
                    self.news.append(found)
                self._changed.notify_all()
            if isinstance(found, ScreenPiece) and found.last:
                await self.watched.seen(found.frame)

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(is_so)


@asynccontextmanager
async def watching(desk: Desk, place: str = "view") -> AsyncIterator[Watcher]:
    async with watch_desktop(desk.sandbox.channel, place) as watched:
        watcher = Watcher(watched)
        reading = asyncio.create_task(watcher.read())
        try:
            yield watcher
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading


def typed(text: str) -> list[Json]:
    return [{"type": "text", "text": each} for each in text]


def click(desk: Desk, x: int, y: int) -> list[Json]:
    place = {**desk.at(x, y), "button": 1}
    return [{"type": "press", **place}, {"type": "release", **place}]
