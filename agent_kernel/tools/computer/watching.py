"""The host's end of watching a desktop and of taking it over.

Taking over is a place in the line of those who use the desktop's driver: while the user has it, the model's
next action waits, whichever host it comes from, and it goes on when the user's host is gone.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
import struct
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from agent_kernel.errors import InvalidRequest, SandboxError, SandboxFileError
from agent_kernel.protocol.desktop.watching import LARGEST, DesktopNews, Json, ScreenPiece, read_action
from agent_kernel.sandboxes.channel import Channel, Exited
from agent_kernel.sandboxes.terminal import Program
from agent_kernel.tools.computer.program import NAME, WATCH, command, source
from agent_kernel.tools.computer.session import BUILD, LONGEST_ANSWER, NO_PYTHON
from agent_kernel.tools.computer.settings import DesktopSettings

_WHY = 500
_PNG, _HEAD = b"\x89PNG\r\n\x1a\n", 33
ENDED = "The desktop has ended."
AGAIN = "Take over again: that starts a new one."
NOT_TAKEN = "You have not taken over."


class DesktopEnded(InvalidRequest):
    """The desktop's driver has ended."""


class _Lines:
    """The lines of JSON that a program prints; others are left out."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._received = bytearray()

    async def next(self) -> Mapping[str, Any]:
        """Return the next one. Raises `InvalidRequest` when the program has ended or prints too much."""
        while True:
            while (end := self._received.find(b"\n")) >= 0:
                line = bytes(self._received[:end])
                del self._received[: end + 1]
                with contextlib.suppress(ValueError, RecursionError):
                    if isinstance(value := json.loads(line), dict):
                        return value
            event = await self._program.read()
            if isinstance(event, Exited):
                raise InvalidRequest(NO_PYTHON) if event.code in (126, 127) else DesktopEnded(ENDED)
            if event.stream == "stdout":
                self._received += event.data
            if len(self._received) > LONGEST_ANSWER:
                await self._program.kill()
                raise InvalidRequest(ENDED)


@dataclass(frozen=True)
class _Taken:
    """The driver while the user has it. `held` lets go of it."""

    program: Program
    lines: _Lines
    held: AsyncExitStack


@asynccontextmanager
async def watch_desktop(channel: Channel, place: str) -> AsyncGenerator[Watched, None]:
    """Watch a desktop; see `tools.optional.ShowsDesktop`."""
    try:
        async with channel.program(f"{NAME}-{place}", command(WATCH)) as program:
            if program.started:
                await program.write(source(WATCH))
            watched = Watched(channel, program)
            await watched.begin()
            try:
                yield watched
            finally:
                await asyncio.shield(watched.leave())
    except SandboxFileError:
        raise InvalidRequest(NO_PYTHON) from None


class Watched:
    """A desktop that is watched; see `protocol.desktop.watching.WatchedScreen`."""

    def __init__(self, channel: Channel, program: Program) -> None:
        self._channel = channel
        self._program = program
        self._lines = _Lines(program)
        self._id = uuid.uuid4().hex
        self._turn = asyncio.Lock()
        self._taken: _Taken | None = None
        self._acts = 0

    async def begin(self) -> None:
        """Begin anew, also with a program that another host has left."""
        await self._ask(begin=self._id)

    async def leave(self) -> None:
        """Hand back, and end the program that shows the screen."""
        with contextlib.suppress(SandboxError):
            await self.hand_back()
            await self._program.kill()

    async def read(self) -> ScreenPiece | DesktopNews:
        """Return what has changed next. Raises `InvalidRequest` when the program has ended."""
        while True:
            value = await self._lines.next()
            if value.get("id") != self._id:
                continue
            found = _piece(value) if "png" in value else _news(value)
            if found is not None:
                return found

    async def seen(self, frame: int) -> None:
        """Say that a frame was shown."""
        await self._ask(seen=frame)

    async def look(self) -> None:
        """Ask for the whole screen."""
        await self._ask(look=True)

    async def take(self) -> None:
        """Take over; see `WatchedScreen`."""
        async with self._turn:
            if self._taken is not None:
                return
            try:
                await self._hold()
            except DesktopEnded:  # the driver was about to end, and is started anew
                await self._hold()

    async def _hold(self) -> None:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._ask, wish=False)
            in_line = self._channel.program(NAME, command(), self._wish)
            program = await stack.enter_async_context(in_line)
            if program.started:
                await program.write(source())
            self._taken = _Taken(program, _Lines(program), stack)
            try:
                await self._do([{"type": "begin"}])
                await self._ask(wish=False)
            except BaseException:
                self._taken = None
                raise
            self._taken = replace(self._taken, held=stack.pop_all())

    async def _wish(self) -> None:
        """Let the driver stop before its next action; this host is the next in line then."""
        await self._ask(wish=True)

    async def act(self, events: Sequence[Json]) -> None:
        """Do what the user does; see `WatchedScreen`."""
        async with self._turn:
            await self._do(events)

    async def hand_back(self) -> None:
        """Let the model go on; see `WatchedScreen`."""
        async with self._turn:
            if self._taken is None:
                return
            held = self._taken.held
            try:
                with contextlib.suppress(InvalidRequest):  # a desktop that has ended needs nothing released
                    await self._do([{"type": "end"}])
            finally:
                self._taken = None
                await held.aclose()

    async def _do(self, events: Sequence[Json]) -> None:
        if self._taken is None:
            raise InvalidRequest(NOT_TAKEN)
        taken = self._taken
        self._acts += 1
        name = f"user/{self._id}/{self._acts}"
        request = {"id": name, "settings": asdict(DesktopSettings()), "user": list(events)}
        try:
            await taken.program.write(json.dumps(request).encode("ascii") + b"\n")
            while (answer := await taken.lines.next()).get("id") != name or answer.get("begun") is True:
                pass
            if answer.get("error") == "no desktop":
                raise InvalidRequest(str(answer.get("why"))[:_WHY], hint=BUILD)
            if answer.get("error"):
                raise InvalidRequest(f"{ENDED} {answer.get('why')}"[:_WHY], hint=AGAIN)
        except InvalidRequest:  # there is nothing to hold any more
            self._taken = None
            await taken.held.aclose()
            raise

    async def _ask(self, **asked: Any) -> None:
        await self._program.write(json.dumps(asked).encode("ascii") + b"\n")


def _piece(value: Json) -> ScreenPiece | None:
    """Read a piece of the screen; None if it is none."""
    frame, top, width, height = (value.get(name) for name in ("frame", "top", "width", "height"))
    numbers = [each for each in (frame, top, width, height) if type(each) is int]
    if len(numbers) < 4 or not isinstance(value["png"], str):
        return None
    frame, top, width, height = numbers
    if frame < 0 or not 0 <= top < height or not (0 < width <= LARGEST and 0 < height <= LARGEST):
        return None
    try:
        png = base64.b64decode(value["png"], validate=True)
    except (binascii.Error, ValueError):
        return None
    if not png.startswith(_PNG) or len(png) < _HEAD:
        return None
    across, rows = struct.unpack_from(">II", png, 16)  # a small file can unpack to a huge picture
    if across != width or not 0 < rows <= height - top:
        return None
    return ScreenPiece(frame, value.get("last") is True, top, width, height, png)


def _news(value: Json) -> DesktopNews:
    action = read_action(value.get("action"))
    return DesktopNews(value.get("running") is True, value.get("user") is True, action)
