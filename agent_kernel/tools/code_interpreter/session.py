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
from functools import cache
from pathlib import Path
from typing import Any, Literal

from agent_kernel.sandboxes.channel import Channel, Exited
from agent_kernel.sandboxes.terminal import Program
from agent_kernel.tools.code_interpreter import notes
from agent_kernel.tools.code_interpreter.inside import HERE, ORDER
from agent_kernel.tools.code_interpreter.inside.record import shortened
from agent_kernel.tools.code_interpreter.names import NAMES_FILE, forget_names, last_names
from agent_kernel.tools.code_interpreter.outputs import (
    note,
    pictures_of,
    read_live,
    read_outputs,
    text_of,
    with_note,
)

log = logging.getLogger(__name__)

Json = Mapping[str, Any]

NAME = "python"
"""The language of a session, and the name of its program in the sandbox; the other is `r`."""

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

Status = Literal["ok", "error", "interrupted", "timed_out", "ended", "unknown"]


@dataclass(frozen=True)
class CellResult:
    """The end of a cell, with its `outputs` in order and what the host adds; see `outputs`.

    `ended`: the session ended, and its variables are gone. `unknown`: the session never ran the cell.
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


_BOOT = """\
import os, sys
size, source = int(sys.argv[1]), b""
while len(source) < size:
    piece = os.read(0, size - len(source))
    if not piece:
        sys.exit(1)
    source += piece
if sys.path and sys.path[0] == "":
    sys.path.pop(0)  # files of the user must not take the place of modules that are needed here
exec(source)
"""

_LOADER = """\
import builtins, types
own = dict(vars(builtins))  # a cell may change those of the others
package = sys.modules["agent_kernel_session"] = types.ModuleType("agent_kernel_session")
package.__path__ = []
for name, text in SOURCES.items():
    full = "agent_kernel_session." + name
    module = sys.modules[full] = types.ModuleType(full)
    module.__package__ = "agent_kernel_session"
    module.__builtins__ = own
    exec(compile(text, "<agent-kernel " + name + ">", "exec"), module.__dict__)
    setattr(package, name, module)
package.session.main(LIMIT, NAMES, LANGUAGE)
"""


@cache
def source(characters: int, language: str = NAME) -> bytes:
    """Return the session's program, which keeps at most `characters` of a cell's logs."""
    folder = Path(__file__).parent / "inside"
    texts = {name: (folder / f"{name}.py").read_text(encoding="utf-8") for name in ORDER}
    sources = {
        name: text.replace(f"from {HERE}", "from agent_kernel_session") for name, text in texts.items()
    }
    settings = f"LIMIT = {characters}\nNAMES = {NAMES_FILE.format(language)!r}\nLANGUAGE = {language!r}\n"
    return f"{settings}SOURCES = {sources!r}\n{_LOADER}".encode()


def command(characters: int, language: str = NAME) -> list[str]:
    """Return the command that starts the session; it then reads `source` from its input."""
    return ["python3", "-c", _BOOT, str(len(source(characters, language)))]


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
            await asyncio.shield(talk.stop())
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
    seen: str = ""
    """The text that came while the cell ran: a session that ends gives no other."""
    gone: str = ""
    """The variables of the session before, if this one is new."""
    ready: bool = True
    """Whether the session has started."""
    waited: float | None = None
    """Seconds after which a session that is not ready was ended."""
    told: bool = False
    """Whether the answer names the variables of a session that has ended."""

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
            "live": cell.live is not None,
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
        """Interrupt the cell, and end the session if it goes on. Return what the cell had printed."""
        for _ in range(INTERRUPTS if self.ready else 0):  # a cell that has not begun yet misses the first
            await self.program.interrupt()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GRACE / INTERRUPTS):
                    return await self._answer()
        log.info("A cell could not be interrupted, so its session is ended.")
        await self.program.kill()
        return await self._answer()

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
                if found is not None and self.cell.live is not None:
                    await self.cell.live(found)

    def _read(self, line: bytes) -> CellResult | LiveOutput | None:
        """Read a line. None: it is no answer about this cell, or half of one."""
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
            if new is not None and new["output_type"] == "stream":
                self.seen += new["text"]
            return LiveOutput(new) if new is not None else None
        if (status := value.get("status")) not in ("ok", "error", "interrupted", "unknown"):
            return None
        limit = 2 * self.cell.characters  # the session keeps less; more is not its own
        outputs = read_outputs(value.get("outputs"), limit)
        found = CellResult(status, outputs, self.program.number, self.cell.characters)
        if value.get("left_out"):
            found = found.noted("[Some displays are left out: there were too many, or they are too large.]")
        return found

    async def _ended(self, end: Exited) -> CellResult:
        if self.ready:
            gone = await last_names(self.channel, self.cell.language)
            line = notes.ended(self.cell.language, end, gone)
            self.told = True
        else:
            line = notes.not_started(self.cell.language, end, self.waited)
        texts = [shortened(self.seen, 2 * self.cell.characters), _printable(self.printed)]
        printed = tuple(note(each) for each in texts if each)
        return CellResult("ended", printed, self.program.number, self.cell.characters).noted(line)

    def _with_notes(self, found: CellResult) -> CellResult:
        """Add that this session is a new one, if the container had another before."""
        new = self.program.started and (self.gone or self.program.before)
        if not new or found.status in ("ended", "unknown"):
            return found
        line = notes.new(self.cell.language, self.program.before, self.gone)
        return replace(found, outputs=(note(f"{line}\n"), *found.outputs))


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() or each == "\n" else "?" for each in text)
