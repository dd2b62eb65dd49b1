"""Applies a patch in the container. What the program there prints is a claim: bounded and checked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from agent_kernel.errors import SandboxFileError
from agent_kernel.sandboxes.channel import Channel, Exited
from agent_kernel.sandboxes.terminal import Program
from agent_kernel.tools.apply_patch.drafts import PatchResult
from agent_kernel.tools.apply_patch.program import NAME, command

SECONDS = 60.0
"""Seconds that a patch may take."""
LONGEST = 10_000
"""Characters of an answer that are kept."""
MOST = 4 * LONGEST
"""Bytes of an answer that are read."""

NO_PYTHON = "Not applied: the container's image has no python3, which apply_patch needs. Use a command."
TOO_SLOW = f"Not applied: it took longer than {SECONDS:.0f} s. Use a smaller diff, or a command."


async def apply(channel: Channel, operation: Mapping[str, Any]) -> PatchResult:
    """Carry out an operation. Raises `SandboxGone`, `SandboxUnreachable`, `ChannelBroken`.

    Cancelling ends the program; the file is then as before or as after the patch.
    """
    try:
        async with channel.program(NAME, command()) as program:
            try:
                async with asyncio.timeout(SECONDS):
                    return await _answer(program, json.dumps(dict(operation)).encode())
            except TimeoutError:
                await _killed(program)
                return PatchResult(False, TOO_SLOW)
            except asyncio.CancelledError:
                await asyncio.shield(_killed(program))
                raise
    except SandboxFileError:
        return PatchResult(False, NO_PYTHON)


async def _answer(program: Program, request: bytes) -> PatchResult:
    await program.write(request)
    await program.write_eof()
    printed = bytearray()
    while not isinstance(event := await program.read(), Exited):
        if event.stream == "stdout" and len(printed) < MOST:
            printed += event.data
    return _read(bytes(printed[:MOST]), event)


def _read(printed: bytes, ended: Exited) -> PatchResult:
    try:
        answer: Any = json.loads(printed)
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, dict) and isinstance(said := answer.get("said"), str):
        return PatchResult(answer.get("done") is True, said.encode(errors="replace").decode()[:LONGEST])
    if ended.code in (126, 127):
        return PatchResult(False, NO_PYTHON)
    why = ", ".join(ended.reached) or f"exit code {ended.code}"
    return PatchResult(False, f"Not applied: the program that applies patches ended with {why}.")


async def _killed(program: Program) -> None:
    await program.kill()
    while not isinstance(await program.read(), Exited):
        pass
