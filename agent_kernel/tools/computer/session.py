"""The host's end of a desktop in a container: carries out actions, and gets a screenshot after each.

The desktop is a program of the sandbox (`Channel.program`). What it answers is a claim: bounded and checked.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from agent_kernel.errors import SandboxFileError
from agent_kernel.sandboxes.channel import Channel, Exited
from agent_kernel.sandboxes.terminal import Program
from agent_kernel.tools.computer.program import NAME, command, source
from agent_kernel.tools.computer.rules import AGAIN, in_words, read_risk
from agent_kernel.tools.computer.settings import DesktopSettings

log = logging.getLogger(__name__)

Json = Mapping[str, Any]

GRACE = 5.0
"""Seconds that an interrupted driver has to answer. Then the desktop is ended."""
LONGEST_ANSWER = 24 << 20
"""Bytes of one line. A desktop that sends more is ended."""
QUIET, LONGEST = 0.12, 1.5
"""Seconds for which the screen must be at rest after an action, and which that may take."""
_SAID, _MOST_SAID = 500, 8
_PNG = b"\x89PNG\r\n\x1a\n"

BUILD = "Build an image that has one, `agent-kernel image build --desktop`, and use it for the container."
_NEW = "The next action starts a new one."
NOT_DONE = "Action %d was not done, nor those after it: look at the screen first, and go on from there."
NO_PYTHON = f"There is no desktop: the container's image has no python3. {BUILD}"

Status = Literal["ok", "error", "stopped", "ended"]


@dataclass(frozen=True)
class Shot:
    """The screen after action number `step`: a PNG file in base64. All but the last are half its size."""

    step: int
    data: str

    @property
    def url(self) -> str:
        """The picture as a data URL."""
        return f"data:image/png;base64,{self.data}"


@dataclass(frozen=True)
class Performed:
    """The end of a batch of actions. `said` are sentences for the model; the last says what went wrong.

    `error`: an action cannot be carried out, or there is no desktop; those before it were. `ended`: the
    desktop has ended, and the next action starts a new one.
    """

    status: Status
    shots: tuple[Shot, ...] = ()
    said: tuple[str, ...] = ()
    risk: Json | None = None
    """The place that stopped it because of a rule: `kind`, `label`, `host`, and `box` if it has one."""


async def _unseen(shot: Shot) -> None:
    """Show a screenshot to nobody."""


@dataclass(frozen=True)
class Batch:
    """Actions to carry out one after the other, in the shapes of the Responses API, on a desktop."""

    name: str
    """Unique in the sandbox."""
    actions: Sequence[Json]
    display: DesktopSettings = field(default_factory=DesktopSettings)
    seconds: float = 120.0
    """The time limit."""
    quiet: float = QUIET
    rules: Sequence[str] = ()
    """Kinds of places that actions may touch only if they are `allowed`; see `rules`."""
    allowed: Json | None = None
    shown: Callable[[Shot], Awaitable[None]] = _unseen
    """Gets each screenshot as it is taken."""


async def perform(channel: Channel, batch: Batch) -> Performed:
    """Carry out actions on the container's desktop, which is started if there is none.

    Batches of several hosts run one after the other, and wait while the user has taken over. Cancelling stops
    between two actions and releases all keys; the desktop stays. Raises `SandboxGone`, `SandboxUnreachable`,
    `ChannelBroken`.
    """
    first, again, before = 0, False, Performed("ok")
    while True:
        try:
            async with channel.program(NAME, command()) as program:
                talk = _Talk(program, batch, first)
                found = await _bounded(talk)
        except SandboxFileError:
            return Performed("error", (), (NO_PYTHON,))
        found = replace(found, shots=(*before.shots, *found.shots), said=(*before.said, *found.said))
        if talk.taken:  # by the user, who is next in line
            first, before = talk.next, found
        elif talk.begun or program.started or again:
            return found
        else:
            again = True  # The program was about to end, and has done nothing of this.


async def _bounded(talk: _Talk) -> Performed:
    seconds = talk.batch.seconds
    try:
        async with asyncio.timeout(seconds):
            return await talk.run()
    except TimeoutError:
        await talk.stop()
        return talk.told("stopped", f"The actions took longer than {seconds:g} s and were stopped.")
    except asyncio.CancelledError:
        await asyncio.shield(talk.stop())
        raise


async def end_desktop(channel: Channel) -> None:
    """End the container's desktop with all that it has started, if there is one."""
    async with channel.running_program(NAME) as program:
        if not isinstance(program, str):
            await program.kill()
            while not isinstance(await program.read(), Exited):
                pass


@dataclass
class _Talk:
    """One batch's exchange with the driver."""

    program: Program
    batch: Batch
    next: int = 0
    """The number of the action to go on with."""
    taken: bool = False
    """Whether the user takes over before that."""
    received: bytearray = field(default_factory=bytearray)
    shots: list[Shot] = field(default_factory=list)
    printed: str = ""
    begun: bool = False
    """Whether the driver has read the request."""

    async def run(self) -> Performed:
        if self.program.started:
            await self.program.write(source())
        request = {
            "id": self.batch.name,
            "settings": asdict(self.batch.display),
            "actions": list(self.batch.actions),
            "first": self.next,
            "quiet": self.batch.quiet,
            "longest": LONGEST,
            "rules": list(self.batch.rules),
            "allowed": self.batch.allowed,
        }
        await self.program.write(json.dumps(request).encode("ascii") + b"\n")
        found = await self._answer()
        if self.program.before and self.program.started and found.shots:
            line = f"The desktop had ended ({self.program.before}), and this is a new one."
            return Performed(found.status, found.shots, (line, *found.said))
        return found

    async def stop(self) -> None:
        """Stop between two actions, and end the desktop if its driver does not answer."""
        await self.program.interrupt()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await self._answer()
                return
        log.info("A desktop does not answer, so it is ended.")
        await self.program.kill()
        await self._answer()

    def told(self, status: Status, *said: str) -> Performed:
        """Return a result with what was seen so far."""
        return Performed(status, tuple(self.shots), said)

    async def _answer(self) -> Performed:
        while True:
            event = await self.program.read()
            if isinstance(event, Exited):
                if self.program.started and event.code in (126, 127):
                    return self.told("error", NO_PYTHON)
                reached = ", ".join(event.reached)
                why = f" ({reached})" if reached else self._printed()
                return self.told("ended", f"The desktop has ended{why}. {_NEW}")
            if event.stream == "stderr":
                self.printed = (self.printed + event.data.decode("utf-8", "replace"))[-_SAID:]
                continue
            self.received += event.data
            if len(self.received) > LONGEST_ANSWER:
                self.received.clear()
                await self.program.kill()
            while (end := self.received.find(b"\n")) >= 0:
                line, self.received = bytes(self.received[:end]), self.received[end + 1 :]
                found = await self._read(line)
                if found is not None:
                    return found

    def _printed(self) -> str:
        last = self.printed.strip().rpartition("\n")[2]
        return f" ({''.join(each for each in last if each.isprintable())})" if last else ""

    async def _read(self, line: bytes) -> Performed | None:
        """Read a line. None: it is not the end of this batch."""
        try:
            value: Any = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, dict) or value.get("id") != self.batch.name:
            return None
        if value.get("begun") is True:
            self.begun = True
            return None
        if "picture" in value:
            shot = read_shot(value, len(self.batch.actions))
            if shot is not None and len(self.shots) <= len(self.batch.actions):
                self.shots.append(shot)
                await self.batch.shown(shot)
            return None
        return self._ended(value)

    def _ended(self, value: Json) -> Performed:
        said = [text[:_SAID] for text in _list(value.get("said"))[:_MOST_SAID] if isinstance(text, str)]
        why, step = str(value.get("why") or "")[:_SAID], value.get("step")
        match value.get("error"):
            case None:
                return self.told("ok", *said)
            case "ended":
                return self.told("ended", *said, f"The desktop has ended: {why}. {_NEW}")
            case "stopped":
                return self.told("stopped", *said, "The actions were stopped.")
            case "no desktop":
                return self.told("error", f"{why} {BUILD}")
            case "taken" if type(step) is int and self.next <= step < len(self.batch.actions) - 1:
                self.taken, self.next = True, step + 1
                return self.told("stopped", *said)
            case "user" if type(step) is int:
                return self.told("error", *said, NOT_DONE % step)
            case "risk" if type(step) is int and (risk := read_risk(value.get("risk"))) is not None:
                found = self.told("error", *said, f"Action {step} was not done: {in_words(risk)} {AGAIN}")
                return replace(found, risk=risk)
            case "action" if type(step) is int:
                return self.told("error", *said, f"Action {step} was not done: {why}")
            case _:
                return self.told("error", *said, why)


def read_shot(value: Json, count: int) -> Shot | None:
    """Read a screenshot of a batch of `count` actions; None if it is none."""
    step, data = value.get("step"), value.get("picture")
    if type(step) is not int or not 0 <= step < count or not isinstance(data, str):
        return None
    try:
        head = base64.b64decode(data, validate=True)[: len(_PNG)]
    except (binascii.Error, ValueError):
        return None
    return Shot(step, data) if head == _PNG else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
