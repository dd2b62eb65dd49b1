"""The host's end of a session in a container, in Python or R: runs one cell in it.

The session is a program of the sandbox (`Channel.program`). What it answers is a claim: bounded and checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from agent_kernel.errors import AgentKernelError
from agent_kernel.sandboxes.channel import Channel, Exited
from agent_kernel.sandboxes.terminal import Program
from agent_kernel.tools.code_interpreter import notes
from agent_kernel.tools.code_interpreter.inside.record import CellRecord, shortened
from agent_kernel.tools.code_interpreter.names import forget_names, last_names
from agent_kernel.tools.code_interpreter.outputs import (
    keep,
    note,
    pictures_of,
    read_live,
    read_outputs,
    text_of,
    with_note,
)
from agent_kernel.tools.code_interpreter.program import NAME, command, source

log = logging.getLogger(__name__)

Json = Mapping[str, Any]

GRACE = 5.0
"""Seconds that an interrupted cell has to end. Then the session is ended."""

INTERRUPTS = 5
"""Interrupts in that time. The session passes one of them to the cell."""

LONGEST_ANSWER = 32 << 20
"""Bytes of an answer. A session that sends more is ended."""

MOST_LIVE = 32 << 20
"""Bytes that are passed on while a cell runs. Its session sends less; more is not its own."""

_STDERR = 2000
"""Characters of what the program prints that explain its end."""

LEFT_OUT = "[Some displays are left out: there were too many, or they are too large.]"

Status = Literal["ok", "error", "interrupted", "timed_out", "unfinished", "ended", "unknown"]


@dataclass(frozen=True)
class CellResult:
    """The end of a cell, with its `outputs` in order and what the host adds; see `outputs`.

    `ended`: the session ended, and its variables are gone. `unknown`: the session never ran the cell.
    `unfinished`: nobody waited for its end; these are the outputs until then.
    """

    status: Status
    outputs: tuple[Json, ...] = ()
    session: int = 0
    """Counts the sessions in this sandbox."""
    characters: int = 50_000
    """Bounds `logs` to twice as many: its session keeps less, and more is not its own."""

    @property
    def logs(self) -> str:
        """Everything that was printed, as text; see `outputs.text_of`."""
        return shortened(text_of(self.outputs), 2 * self.characters)

    @property
    def images(self) -> tuple[str, ...]:
        """The data URLs of the pictures."""
        return pictures_of(self.outputs)

    def noted(self, line: str) -> CellResult:
        """Return this result with a line from the host below its outputs."""
        return replace(self, outputs=with_note(self.outputs, line))


def told(status: Status, line: str, session: int = 0) -> CellResult:
    """Return a result that has only a line from the host."""
    return CellResult(status, (note(line),), session)


@dataclass(frozen=True)
class LiveOutput:
    """An output of a cell that still runs, or a `clear_output`; see `outputs`."""

    output: Json


@dataclass(frozen=True)
class CodeCell:
    """A cell to run. `name` is unique in the sandbox; `characters` bounds its logs, `seconds` its time.

    `known`: only ask for the result, if the session has run it. `language` is `python` or `r`.
    """

    name: str
    code: str
    seconds: float
    characters: int
    known: bool = False
    language: str = NAME
    live: Callable[[LiveOutput], Awaitable[None]] | None = None
    """Gets outputs while the cell runs: not all, and only as fast as it takes them."""
    unfinished: Callable[[CellResult], Awaitable[None]] | None = None
    """Gets what the cell had shown when `run_cell` is cancelled or loses the sandbox, before that raises."""


async def run_cell(channel: Channel, cell: CodeCell) -> CellResult:
    """Run a cell in the container's session, which is started if there is none.

    Cells of several hosts run one after the other. A cell that takes too long is interrupted; the session
    stays, unless the cell does not end even then. Cancelling it interrupts the cell in the same way. Raises
    `SandboxGone`, `SandboxUnreachable`, `ChannelBroken`.
    """
    async with channel.program(cell.language, command(cell.characters, cell.language)) as program:
        talk = _Talk(channel, program, cell)
        try:
            found = await talk.run()
        except asyncio.CancelledError:
            await talk.leave(await asyncio.shield(talk.stop()))
            raise
        except AgentKernelError:
            await talk.leave(talk.so_far())
            raise
        if talk.told:
            await forget_names(channel, cell.language)
        return found


async def end_session(channel: Channel, language: str = NAME) -> None:
    """End the container's session with all that it has started. The next cell begins a new one."""
    async with channel.program(language, ["true"]) as program:
        await program.kill()
        while not isinstance(await program.read(), Exited):
            pass


@dataclass
class _Talk:
    """One cell's exchange with the session."""

    channel: Channel
    program: Program
    cell: CodeCell
    received: bytearray = field(default_factory=bytearray)
    printed: str = ""
    live_room: int = MOST_LIVE
    shown: CellRecord = field(init=False)
    """What came while the cell ran: a session that ends gives nothing else."""
    gone: str = ""
    """The variables of the session before, if this one is new."""
    ready: bool = True
    """Whether the session has started."""
    waited: float | None = None
    """Seconds after which a session that is not ready was ended."""
    stopping: bool = False
    """Whether the cell is being stopped: then nobody may read what it shows meanwhile."""
    told: bool = False
    """Whether the answer names the variables of a session that has ended."""

    def __post_init__(self) -> None:
        self.shown = CellRecord(self.cell.characters)

    async def run(self) -> CellResult:
        program, cell = self.program, self.cell
        if program.started:
            self.ready = False
            self.gone = await last_names(self.channel, cell.language)
            await program.write(source(cell.characters, cell.language))
        request = {
            "id": cell.name,
            "code": cell.code,
            "known": cell.known,
            "live": True,
            "variables": program.variables,
        }
        try:
            async with asyncio.timeout(cell.seconds):
                await program.write(json.dumps(request).encode("ascii") + b"\n")
                return self._with_notes(await self._answer())
        except TimeoutError:
            self.waited = None if self.ready else cell.seconds
            found = await self.stop()
            if not self.ready:
                return found
            kept = "" if found.status == "ended" else "; the variables are kept"
            note = f"[The cell took longer than {cell.seconds:g} s and was stopped{kept}.]"
            return self._with_notes(replace(found.noted(note), status="timed_out"))

    async def stop(self) -> CellResult:
        """Interrupt the cell, and end the session if it goes on. Return what the cell had shown."""
        self.stopping = True
        for _ in range(INTERRUPTS if self.ready else 0):  # a cell that has not begun yet misses the first
            await self.program.interrupt()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GRACE / INTERRUPTS):
                    return await self._answer()
        log.info("A cell could not be interrupted, so its session is ended.")
        await self.program.kill()
        return await self._answer()

    async def leave(self, found: CellResult) -> None:
        """Hand over the outputs of a cell whose end nobody waits for."""
        if self.cell.unfinished is not None:
            await self.cell.unfinished(replace(found, status="unfinished"))

    def so_far(self) -> CellResult:
        """Return what came while the cell ran."""
        shown = read_outputs(self.shown.outputs(), 2 * self.cell.characters)
        found = CellResult("ended", shown, self.program.number, self.cell.characters)
        return found.noted(LEFT_OUT) if self.shown.left_out else found

    async def _answer(self) -> CellResult:
        """Read until the answer about this cell, or the end of the session."""
        while True:
            event = await self.program.read()
            if isinstance(event, Exited):
                return await self._ended(event)
            if event.stream == "stderr":
                self.printed = (self.printed + event.data.decode("utf-8", "replace"))[-_STDERR:]
                continue
            self.received += event.data
            if len(self.received) > LONGEST_ANSWER:
                self.received.clear()
                await self.program.kill()
                continue
            while (end := self.received.find(b"\n")) >= 0:
                line, self.received = bytes(self.received[:end]), self.received[end + 1 :]
                found = self._read(line)
                if isinstance(found, CellResult):
                    return found
                if found is not None and self.cell.live is not None and not self.stopping:
                    await self.cell.live(found)

    def _read(self, line: bytes) -> CellResult | LiveOutput | None:
        """Read a line. None: it is not an answer about this cell, or half of one."""
        try:
            value: Any = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, Mapping):
            return None
        self.ready = self.ready or value.get("ready") is True
        if value.get("id") != self.cell.name:
            return None
        if "live" in value:
            self.live_room -= len(line)
            new = read_live(value["live"], 2 * self.cell.characters) if self.live_room > 0 else None
            if new is not None:
                keep(self.shown, new)
            return LiveOutput(new) if new is not None else None
        if (status := value.get("status")) not in ("ok", "error", "interrupted", "unknown"):
            return None
        limit = 2 * self.cell.characters  # the session keeps less; more is not its own
        outputs = read_outputs(value.get("outputs"), limit)
        found = CellResult(status, outputs, self.program.number, self.cell.characters)
        return found.noted(LEFT_OUT) if value.get("left_out") else found

    async def _ended(self, end: Exited) -> CellResult:
        if self.ready:
            gone = await last_names(self.channel, self.cell.language)
            line = notes.ended(self.cell.language, end, gone)
            self.told = True
        else:
            line = notes.not_started(self.cell.language, end, self.waited)
        found, printed = self.so_far(), _printable(self.printed)
        if printed:
            found = replace(found, outputs=(*found.outputs, note(printed)))
        return found.noted(line)

    def _with_notes(self, found: CellResult) -> CellResult:
        """Add that this session is a new one, if the container had another before."""
        new = self.program.started and (self.gone or self.program.before)
        if not new or found.status in ("ended", "unknown"):
            return found
        line = notes.new(self.cell.language, self.program.before, self.gone)
        return replace(found, outputs=(note(f"{line}\n"), *found.outputs))


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() or each == "\n" else "?" for each in text)
