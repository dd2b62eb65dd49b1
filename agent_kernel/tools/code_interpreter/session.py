"""The host's end of the Python session in a container: runs one cell in it.

The session is a program of the sandbox (`Channel.program`). What it answers is a claim: bounded and checked.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from agent_kernel.sandboxes.channel import Channel, Exited
from agent_kernel.sandboxes.terminal import Program
from agent_kernel.tools.code_interpreter.inside import HERE, ORDER

log = logging.getLogger(__name__)

NAME = "python"
"""The name of the session's program in the sandbox."""

GRACE = 5.0
"""Seconds that an interrupted cell has to end. Then the session is ended."""

LONGEST_ANSWER = 32 << 20
"""Bytes of an answer. A session that sends more is ended."""

MOST_IMAGES = 10
_STDERR = 2000
"""Characters of what the program prints that explain its end."""

Status = Literal["ok", "error", "interrupted", "timed_out", "ended", "unknown"]


@dataclass(frozen=True)
class CellResult:
    """The end of a cell. `images` are data URLs, `logs` what it printed and what the host adds.

    `ended`: the session ended, and its variables are gone. `unknown`: the session never ran the cell.
    """

    status: Status
    logs: str = ""
    images: tuple[str, ...] = ()
    session: int = 0
    """Counts the sessions in this sandbox."""


@dataclass(frozen=True)
class CodeCell:
    """A cell to run. `name` is unique in the sandbox; `characters` bounds its logs, `seconds` its time.

    `known`: only ask for the result, if the session has run it.
    """

    name: str
    code: str
    seconds: float
    characters: int
    known: bool = False


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
package.session.main(LIMIT)
"""


@cache
def source(characters: int) -> bytes:
    """Return the session's program, which keeps at most `characters` of a cell's logs."""
    folder = Path(__file__).parent / "inside"
    texts = {name: (folder / f"{name}.py").read_text(encoding="utf-8") for name in ORDER}
    sources = {
        name: text.replace(f"from {HERE}.", "from agent_kernel_session.") for name, text in texts.items()
    }
    return f"LIMIT = {characters}\nSOURCES = {sources!r}\n{_LOADER}".encode()


def command(characters: int) -> list[str]:
    """Return the command that starts the session; it then reads `source` from its input."""
    return ["python3", "-c", _BOOT, str(len(source(characters)))]


async def run_cell(channel: Channel, cell: CodeCell) -> CellResult:
    """Run a cell in the container's session, which is started if there is none.

    Cells of several hosts run one after the other. A cell that takes too long is interrupted; the session
    stays, unless the cell does not end even then. Cancelling it interrupts the cell in the same way. Raises
    `SandboxGone`, `SandboxUnreachable`, `ChannelBroken`.
    """
    async with channel.program(NAME, command(cell.characters)) as program:
        talk = _Talk(program, cell)
        try:
            return await talk.run()
        except asyncio.CancelledError:
            await asyncio.shield(talk.stop())
            raise


async def end_session(channel: Channel) -> None:
    """End the container's session with all that it has started. The next cell begins a new one."""
    async with channel.program(NAME, ["true"]) as program:
        await program.kill()
        while not isinstance(await program.read(), Exited):
            pass


@dataclass
class _Talk:
    """One cell's exchange with the session."""

    program: Program
    cell: CodeCell
    received: bytearray = field(default_factory=bytearray)
    printed: str = ""

    async def run(self) -> CellResult:
        program, cell = self.program, self.cell
        if program.started:
            await program.write(source(cell.characters))
        request = {"id": cell.name, "code": cell.code, "known": cell.known}
        try:
            async with asyncio.timeout(cell.seconds):
                await program.write(json.dumps(request).encode("ascii") + b"\n")
                return self._with_notes(await self._answer())
        except TimeoutError:
            found = await self.stop()
            kept = "" if found.status == "ended" else "; the variables are kept"
            note = f"[The cell took longer than {cell.seconds:g} s and was stopped{kept}.]"
            return self._with_notes(replace(found, status="timed_out", logs=_lines(found.logs, note)))

    async def stop(self) -> CellResult:
        """Interrupt the cell, and end the session if it goes on. Return what the cell had printed."""
        try:
            async with asyncio.timeout(GRACE):
                await self.program.interrupt()
                return await self._answer()
        except TimeoutError:
            log.info("A cell could not be interrupted, so its Python session is ended.")
        await self.program.kill()
        return await self._answer()

    async def _answer(self) -> CellResult:
        """Read until the answer about this cell, or the end of the session."""
        while True:
            event = await self.program.read()
            if isinstance(event, Exited):
                return self._ended(event)
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
                if (found := self._read(line)) is not None:
                    return found

    def _read(self, line: bytes) -> CellResult | None:
        """Read an answer. None: it is half a line, or about a cell of a host that is gone."""
        try:
            value: Any = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, Mapping) or value.get("id") != self.cell.name:
            return None
        status, logs = value.get("status"), value.get("logs")
        if status not in ("ok", "error", "interrupted", "unknown") or not isinstance(logs, str):
            return None
        images = [url for each in _list(value.get("images")) if (url := _data_url(each)) is not None]
        if value.get("left_out"):
            logs = _lines(logs, "[Some pictures are left out: there were too many, or they are too large.]")
        limit = 2 * self.cell.characters  # the session keeps less; more is not its own
        return CellResult(status, logs[:limit], tuple(images), self.program.number)

    def _ended(self, end: Exited) -> CellResult:
        why = ", ".join(end.reached) or f"exit code {end.code}"
        note = f"[The Python session ended ({why}). Its variables are gone; the next call begins a new one.]"
        if end.code == 127:
            note = "[The container has no Python: python3 cannot be started.]"
        return CellResult("ended", _lines(_printable(self.printed), note), (), self.program.number)

    def _with_notes(self, found: CellResult) -> CellResult:
        """Add that this session is a new one, if the container had another before."""
        if not self.program.started or self.program.number == 1 or found.status in ("ended", "unknown"):
            return found
        why = self.program.before
        note = f"[A new Python session: variables of earlier calls are gone{f' ({why})' if why else ''}.]"
        return replace(found, logs=_lines(note, found.logs))


def _list(value: object) -> list[Any]:
    return value[:MOST_IMAGES] if isinstance(value, list) else []


def _data_url(image: object) -> str | None:
    """Return the data URL of a picture. None if it is none."""
    if not isinstance(image, Mapping) or image.get("type") not in ("image/png", "image/jpeg"):
        return None
    data = image.get("data")
    if not isinstance(data, str) or not data.isascii() or set(data) - _BASE64:
        return None
    return f"data:{image['type']};base64,{data}"


_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() or each == "\n" else "?" for each in text)


def _lines(first: str, second: str) -> str:
    """Join two texts, the second on a line of its own."""
    if not first or not second:
        return first + second
    return first + second if first.endswith("\n") else f"{first}\n{second}"
