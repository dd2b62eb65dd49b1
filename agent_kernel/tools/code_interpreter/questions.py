"""Questions about the session in a container: completions, help, variables, a table, and its end."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Mapping
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.validation import shortened
from agent_kernel.sandboxes.channel import Channel, Exited
from agent_kernel.sandboxes.terminal import Program
from agent_kernel.tools.code_interpreter.answers import read_answer
from agent_kernel.tools.code_interpreter.names import forget_names
from agent_kernel.tools.code_interpreter.program import NAME

Json = Mapping[str, Any]

log = logging.getLogger(__name__)

SECONDS = {"complete": 2.0, "inspect": 2.0, "variables": 20.0, "table": 60.0}
"""Seconds that an answer may take. Then the session is interrupted, as by Ctrl-C."""

GRACE = 0.5
"""Seconds that an interrupted answer has to end. The session goes on with it alone if it does not."""

LONGEST = 1 << 20
"""Bytes of an answer."""

LONGEST_CODE = 100_000
"""Characters of the code in a question."""

_OPTIONAL, _OPTIONAL_TEXT = (int, type(None)), (str, type(None))
_FIELDS: Mapping[str, Mapping[str, type | tuple[type, ...]]] = {
    "complete": {"code": str, "cursor": int},
    "inspect": {"code": str, "cursor": int, "detail": int},
    "variables": {},
    "table": {"name": str, "rows": int, "path": _OPTIONAL_TEXT, "start": _OPTIONAL, "columns": _OPTIONAL},
    "end": {},
}


def check(question: Json) -> None:
    """Raise `InvalidRequest` for a question that has another form than those in `runtime.sessions`."""
    asked = question.get("ask")
    fields = _FIELDS.get(asked) if isinstance(asked, str) else None
    if fields is None:
        raise InvalidRequest(f"ask must be one of {', '.join(_FIELDS)}, not {shortened(asked)}.", param="ask")
    for name, kind in fields.items():
        value = question.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise InvalidRequest(f"{name} must not be {shortened(value)}.", param=name)
        if isinstance(value, str) and len(value) > LONGEST_CODE:
            raise InvalidRequest(f"{name} has more than {LONGEST_CODE} characters.", param=name)
    if unknown := sorted(map(str, set(question) - {"ask", *fields})):
        raise InvalidRequest(f"{asked} has no field {shortened(unknown[0])}.", param=unknown[0][:100])
    if asked in ("complete", "inspect") and not 0 <= question["cursor"] <= len(question["code"]):
        raise InvalidRequest("cursor is not a place in the code.", param="cursor")


async def ask(channel: Channel, question: Json) -> Json:
    """Ask the container's session; see `KeepsSession.ask`."""
    check(question)
    async with channel.running_program(NAME) as program:
        if not isinstance(program, Program):
            return {"session": program}
        if question["ask"] == "end":
            await program.kill()
            while not isinstance(await program.read(), Exited):
                pass
            await forget_names(channel, NAME)  # who ended it knows
            return {"session": "ended"}
        return await _answered(program, question)


async def _answered(program: Program, question: Json) -> Json:
    reader = _Reader(program, question["ask"])
    try:
        async with asyncio.timeout(SECONDS[question["ask"]]):
            return await reader.ask(question)
    except TimeoutError:
        return await _interrupted(program, reader)
    except asyncio.CancelledError:
        await asyncio.shield(_interrupted(program, reader))
        raise


async def _interrupted(program: Program, reader: _Reader) -> Json:
    """Interrupt the answer, so that the next cell need not wait for it."""
    try:
        async with asyncio.timeout(GRACE):
            await program.interrupt()
            await reader.read()
    except TimeoutError:
        log.info("A question to a Python session could not be interrupted.")
    return {"session": "slow"}


class _Reader:
    """Reads the answer to one question."""

    def __init__(self, program: Program, asked: str) -> None:
        self._program = program
        self._asked = asked
        self._key = f"ask/{secrets.token_hex(8)}"
        self._received = bytearray()

    async def ask(self, question: Json) -> Json:
        line = json.dumps({"id": self._key, "asked": dict(question)}).encode("ascii")
        await self._program.write(line + b"\n")
        return await self.read()

    async def read(self) -> Json:
        """Read until the answer, or the end of the session. Lines about cells of lost hosts are skipped."""
        while True:
            event = await self._program.read()
            if isinstance(event, Exited):
                return {"session": "absent"}
            if event.stream == "stderr":
                continue
            self._received += event.data
            while (end := self._received.find(b"\n")) >= 0:
                line, self._received = bytes(self._received[:end]), self._received[end + 1 :]
                if (found := self._found(line)) is not None:
                    return found
            if len(self._received) > LONGEST:
                self._received.clear()  # its end is half a line, which is skipped

    def _found(self, line: bytes) -> Json | None:
        try:
            value: Any = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, Mapping) or value.get("id") != self._key:
            return None
        return {"session": "running", **read_answer(self._asked, value.get("answer"))}
