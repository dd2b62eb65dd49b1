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
from agent_kernel.kernel.tables.preview import COLUMNS, ROWS, Column, NoTable, Preview

if TYPE_CHECKING:
    from agent_kernel.runtime.base import Runtime

SUFFIXES = (".xlsx", ".xlsm", ".parquet")
SECONDS = 20.0
"""Seconds that the program may take; a table that takes longer is only named."""

_MAX_CHARACTERS = 200_000


@cache
def _program() -> str:
    return (files("agent_kernel.kernel") / "sandbox_scripts" / "table.py").read_text("utf-8")


async def preview(runtime: Runtime, container_id: str, path: str) -> Preview:
    """Return a preview of the table at `path`. Raises `NoTable`. Cancelling ends the program."""
    command = f"python3 -I - {shlex.quote(path)} <<'END OF PROGRAM'\n{_program()}\nEND OF PROGRAM"
    try:
        async with asyncio.timeout(SECONDS):
            printed = await _printed(runtime, container_id, command)
        return _understood(json.loads(printed))
    except TimeoutError as error:
        raise NoTable(f"it takes more than {SECONDS:.0f} s to read") from error
    except AgentKernelError as error:
        raise NoTable("the container cannot run the program that reads it") from error
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
        # The container's output is untrusted: anything that does not parse counts as no preview.
        raise NoTable("it cannot be read") from error


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
    sheets = int(found["sheets"])
    notes = [f"the first of {sheets:,} sheets"] if sheets > 1 else []
    return Preview(columns, rows, int(found["width"]), int(found["count"]), found["whole"] is True, notes)
