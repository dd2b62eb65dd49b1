"""Preview tables that need a program to read (Excel, Parquet), by running it inside the container.

These files are untrusted archives and binary formats, so the kernel's process does not read them. A small
program that uses only the standard library reads them inside the container and prints text. It runs as a
command outside the conversation: with the shell model, and not stored. If the runtime or the image cannot
run it (no shell model, no Python), the file is only named, like a file of an unknown kind.
"""

from __future__ import annotations

import asyncio
import json
import shlex
from contextlib import aclosing
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import AgentKernelError
from agent_kernel.kernel.render.files.previews import COLUMNS, ROWS, Column, Preview

if TYPE_CHECKING:
    from agent_kernel.runtime.base import Runtime

SUFFIXES = (".xlsx", ".xlsm", ".parquet")
SECONDS = 20.0
"""Seconds that the program may take; a table that takes longer is only named."""

_MAX_CHARACTERS = 200_000


@cache
def _program() -> str:
    return (files("agent_kernel.kernel") / "sandbox_scripts" / "table.py").read_text("utf-8")


async def preview(runtime: Runtime, container_id: str, path: str) -> Preview | None:
    """Return a preview of the table at `path`; None if it could not be read. Cancelling ends the program."""
    command = f"python3 -I - {shlex.quote(path)} <<'END OF PROGRAM'\n{_program()}\nEND OF PROGRAM"
    try:
        async with asyncio.timeout(SECONDS):
            printed = await _printed(runtime, container_id, command)
        return _understood(json.loads(printed))
    except (AgentKernelError, TimeoutError, ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return None  # the container's output is untrusted: anything that does not parse counts as no preview


async def _printed(runtime: Runtime, container_id: str, command: str) -> str:
    environment = {"type": "container_reference", "container_id": container_id}
    request = {
        "model": "agent_kernel/shell",
        "input": command,
        "tools": [{"type": "shell", "environment": environment}],
        "store": False,
        "stream": True,
    }
    printed = ""
    async with aclosing(runtime.respond(request)) as events:
        async for event in events:
            if event.type == "response.output_item.done" and event.item.type == "shell_call_output":
                printed += "".join(content.stdout for content in event.item.output)[:_MAX_CHARACTERS]
    return printed


def _understood(found: dict[str, Any]) -> Preview:
    columns = [
        Column(str(name), str(kind), None if missing is None else int(missing))
        for name, kind, missing in found["columns"][:COLUMNS]
    ]
    rows = [[str(cell) for cell in row[:COLUMNS]] for row in found["rows"][:ROWS]]
    about = int(found["width"]), int(found["count"]), found["whole"] is True, int(found["sheets"])
    return Preview(columns, rows, *about)
