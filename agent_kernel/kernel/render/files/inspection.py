"""A look into tables that take a program to read (Excel, Parquet): the program runs inside the container.

Such files are archives and binary trees of unknown origin, so nothing in the kernel's process reads them. A
small program of the standard library alone does, where the file lies; it comes back with text. It runs as a
command of no conversation: by the model that is none, stored nowhere. With a runtime or an image that cannot
do that (no such model, no Python) such a file is one line, as is every file of a kind that is not known.
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
"""How long the program may take; a table that takes longer is only named."""

_MAX_CHARACTERS = 200_000


@cache
def _program() -> str:
    return (files("agent_kernel.kernel") / "sandbox_scripts" / "table.py").read_text("utf-8")


async def preview(runtime: Runtime, container_id: str, path: str) -> Preview | None:
    """Return what is in the table at `path`; None if nobody could say. Cancelling it ends the program."""
    command = f"python3 -I - {shlex.quote(path)} <<'END OF PROGRAM'\n{_program()}\nEND OF PROGRAM"
    try:
        async with asyncio.timeout(SECONDS):
            printed = await _printed(runtime, container_id, command)
        return _understood(json.loads(printed))
    except (AgentKernelError, TimeoutError, ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return None  # whatever the container says is of unknown origin: it is understood, or it is nothing


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
