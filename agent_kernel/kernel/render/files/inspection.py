"""Preview tables that need a program to read (Excel, Parquet), by running it inside the container.

These files are untrusted archives and binary formats, so the kernel's process does not read them. A small
program reads them inside the container and prints text: Excel, ODS, SQLite and XML with the standard library,
other formats with libraries of the container. It runs as a
command outside the conversation: with the shell model, and not stored. If the runtime or the image cannot
run it (no shell model, no Python), the file is only named, like a file of an unknown kind.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shlex
import zlib
from contextlib import aclosing
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import AgentKernelError
from agent_kernel.kernel.sandbox_scripts.table import PACKAGE, READERS
from agent_kernel.kernel.tables.caption import MAX_NOTES
from agent_kernel.kernel.tables.preview import SHOWN, Column, Extent, NoTable, Preview

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_kernel.runtime.base import Runtime

SUFFIXES = frozenset(READERS)
SECONDS = 20.0
"""Seconds that the program may take; a table that takes longer is only named."""

_NO_PYTHON = "the container has no python3 that could read it"
_LIMITS = "it cannot be read within the limits of memory and time"
_MAX_CHARACTERS = 200_000
_MOST_ROWS = 5_000
_LARGEST = 8 << 20
"""Rows, and bytes once they are unpacked, of a part."""


_LOADER = """
import base64, importlib.machinery, json, sys, zlib
SOURCES = json.loads(zlib.decompress(base64.b64decode("%s")))
class Loader:
    def find_spec(self, name, path=None, target=None):
        if name in SOURCES:
            return importlib.machinery.ModuleSpec(name, self, is_package=not SOURCES[name])
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        exec(compile(SOURCES[module.__name__], module.__name__, "exec"), module.__dict__)
sys.meta_path.insert(0, Loader())
from %s import main
main(*sys.argv[1:])
"""


@cache
def program(module: str = "table", package: str = "") -> str:
    """Return a program that runs `main` of a module of `sandbox_scripts` with its argument, in one file.

    The modules are packed into it, and those of the package `package` in that folder.
    """
    sources = {"agent_kernel": "", "agent_kernel.kernel": "", PACKAGE: "", **_sources("")}
    if package:
        sources |= {f"{PACKAGE}.{package}": "", **_sources(package)}
    packed = base64.b64encode(zlib.compress(json.dumps(sources).encode(), 9)).decode()
    return _LOADER % (packed, ".".join(filter(None, (PACKAGE, package, module))))


def _sources(package: str) -> dict[str, str]:
    """Return the source of each module in a folder of `sandbox_scripts`."""
    folder = files("agent_kernel.kernel") / "sandbox_scripts" / package
    parts = [file.name.partition(".") for file in folder.iterdir()]
    names = [name for name, _, ending in parts if ending == "py" and name != "__init__"]
    prefix = ".".join(filter(None, (PACKAGE, package)))
    return {f"{prefix}.{name}": (folder / f"{name}.py").read_text("utf-8") for name in names}


def command(*arguments: str, module: str = "table", package: str = "") -> str:
    """Return the shell command that runs the program with its arguments."""
    one_thread = "OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1"
    python = f"{one_thread} python3 -I - {shlex.join(arguments)}"
    return f"{python} <<'END OF PROGRAM'\n{program(module, package)}\nEND OF PROGRAM"


async def preview(runtime: Runtime, container_id: str, path: str) -> Preview:
    """Return a preview of the table at `path`. Raises `NoTable`. Cancelling ends the program."""
    return await _read(runtime, container_id, command(path), SHOWN, json.loads)


async def part(runtime: Runtime, container_id: str, path: str, first: int, extent: Extent) -> Preview:
    """Return rows of the table from `first` on: fewer than asked for if they are long, but one at least.

    Raises `NoTable`. Cancelling ends the program.
    """
    numbers = map(str, (first, min(extent.rows, _MOST_ROWS), extent.columns))
    return await _read(runtime, container_id, command(path, *numbers), extent, _unpacked)


async def _read(
    runtime: Runtime, container_id: str, run: str, extent: Extent, parse: Callable[[str], Any]
) -> Preview:
    try:
        async with asyncio.timeout(SECONDS):
            answer, code = await printed(runtime, container_id, run)
        if not answer:
            raise NoTable(_NO_PYTHON if code == 127 else _LIMITS)
        return _understood(parse(answer), extent)
    except TimeoutError as error:
        raise NoTable(f"it takes more than {SECONDS:.0f} s to read") from error
    except AgentKernelError as error:
        raise NoTable("the container cannot run the program that reads it") from error
    except NoTable:
        raise
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError, zlib.error) as error:
        # The container's output is untrusted: anything that does not parse counts as no preview.
        raise NoTable("what the container says about it cannot be understood") from error


async def printed(runtime: Runtime, container_id: str, command: str) -> tuple[str, int | None]:
    """Return what the command printed, and its exit code; None if it was ended by a limit.

    Raises what `Runtime.respond` raises. Cancelling ends the command.
    """
    environment = {"type": "container_reference", "container_id": container_id}
    request = {
        "model": "agent_kernel/shell",
        "input": command,
        "tools": [{"type": "shell", "environment": environment}],
        "store": False,
        "stream": True,
    }
    text = ""
    code = None
    async with aclosing(runtime.respond(request)) as events:
        async for event in events:
            if event.type == "response.output_item.done" and event.item.type == "shell_call_output":
                for content in event.item.output:
                    text += content.stdout[:_MAX_CHARACTERS]
                    code = content.outcome.exit_code if content.outcome.type == "exit" else None
    return text, code


def _unpacked(answer: str) -> Any:
    return json.loads(zlib.decompressobj().decompress(base64.b64decode(answer), _LARGEST))


def _understood(found: dict[str, Any], extent: Extent) -> Preview:
    if "reason" in found:
        raise NoTable(line(found["reason"]))
    columns = [
        Column(str(name), str(kind), None if missing is None else int(missing))
        for name, kind, missing in found["columns"][: extent.columns]
    ]
    rows = [[str(cell) for cell in row[: extent.columns]] for row in found["rows"][: extent.rows]]
    notes = [line(note) for note in found["notes"][:MAX_NOTES]]
    return Preview(columns, rows, int(found["width"]), int(found["count"]), found["whole"] is True, notes)


def line(text: object) -> str:
    """Return a text from the container as one line of bounded length."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())[:300]
