"""Tables between the notebook and the session: show a variable, save it as CSV, read a file into one."""

from __future__ import annotations

import asyncio
import contextlib
import keyword
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from agent_kernel.errors import AgentKernelError, InvalidRequest
from agent_kernel.kernel.python.asking import Answer, looked

if TYPE_CHECKING:
    from openai.types.containers import FileCreateResponse

    from agent_kernel.kernel.outputs import CellOutputs
    from agent_kernel.kernel.python.base import SessionUser
    from agent_kernel.kernel.tables.preview import Extent, Preview

SAMPLE = 64 << 10
"""Bytes of a file from which its separator and its encoding are found."""

_PANDAS = {
    ".xlsx": "read_excel",
    ".xls": "read_excel",
    ".ods": "read_excel",
    ".parquet": "read_parquet",
    ".feather": "read_feather",
    ".dta": "read_stata",
    ".sav": "read_spss",
}
_LINES = (".jsonl", ".ndjson")


async def show(notebook: SessionUser, outputs: CellOutputs, name: str, rows: int) -> None:
    """Show the first rows of a variable. Raises `InvalidRequest` if it is not a table, and as `looked`."""
    from agent_kernel.kernel.render.bundles import note, table
    from agent_kernel.kernel.render.text import code

    kind, preview, files = await look(notebook, name, rows)
    columns, caption = preview.columns, f"{code(name)} ({kind}): {preview.shape}"
    if len(preview.rows) < preview.count:
        caption += f"; the first {len(preview.rows)} rows"
    header, notes = [each.name for each in columns], [each.words for each in columns]
    if preview.width > len(header):
        header, notes = [*header, "…"], [*notes, ""]
    outputs.result(table(header, preview.rows, caption, notes).bundle())
    if files:
        outputs.emit(note(f"This is the variable; `%download` copies the file {code(files[0])}."))


async def look(notebook: SessionUser, name: str, rows: int) -> tuple[str, Preview, list[str]]:
    """Return a variable's type, its first rows, and the files that have its name. Raises as `show`."""
    found = await looked(notebook, {"ask": "table", "name": name, "rows": rows, "path": None})
    files = await _files_called(notebook, name)
    _check(found, name, files)
    return found["type"], _preview(found), files


async def part_of(notebook: SessionUser, name: str, first: int, extent: Extent) -> Preview:
    """Return rows of a variable from `first` on: as many as an answer has room for. Raises as `show`."""
    asked = {"ask": "table", "name": name, "rows": extent.rows, "path": None}
    found = await looked(notebook, {**asked, "start": first, "columns": extent.columns})
    _check(found, name, [])
    return _preview(found)


def _preview(found: Answer) -> Preview:
    from agent_kernel.kernel.tables.preview import Column, Preview

    columns = [Column(label, kind, missing) for label, kind, missing in found["columns"]]
    return Preview(columns, found["rows"], found["width"], found["count"])


def _check(found: Answer, name: str, files: list[str]) -> None:
    """Raise `InvalidRequest` if the answer has no table."""
    if found.get("missing"):
        hint = f"There is a file of that name: %download {files[0]}" if files else "%vars lists them."
        raise InvalidRequest(f"The Python session has no variable {name[:100]}.", hint=hint)
    if "columns" not in found:
        kind = found["type"]
        raise InvalidRequest(f"{name} is not a table: its type is {kind}.", hint="%vars shows its value.")


async def _files_called(notebook: SessionUser, name: str) -> list[str]:
    """Return the files in /mnt/data that have the name of a variable, with or without an ending."""
    from agent_kernel.kernel.render.files.artifacts import short_path, snapshot

    if notebook.container.id is None:
        return []
    files = (await notebook.runtime()).containers.files
    paths = map(short_path, (await snapshot(files, notebook.container.id)).files)
    return sorted(path for path in paths if name in (path, path.partition(".")[0]))


async def save_csv(notebook: SessionUser, outputs: CellOutputs, name: str, to: str, *, force: bool) -> None:
    """Write a variable as CSV to the path `to`, completely or not at all.

    Raises `InvalidRequest` if it is not a table, and what `looked` and `ContainerFiles` raise.
    """
    from agent_kernel.kernel.changes.comparison import once
    from agent_kernel.kernel.render.bundles import note
    from agent_kernel.kernel.render.text import code, size
    from agent_kernel.kernel.transfer.downloads import save

    if notebook.container.id is None:
        await looked(notebook, {"ask": "variables"})  # raises: there is no session
    runtime, container_id = await notebook.runtime(), str(notebook.container.id)
    files = runtime.containers.files
    hidden = f".agent-kernel-table-{secrets.token_hex(8)}.csv"
    made = await files.create(container_id, path=hidden, content=once(b""), size=0)
    try:
        found = await looked(notebook, {"ask": "table", "name": name, "rows": 1, "path": made.path})
        _check(found, name, await _files_called(notebook, name))
        written: FileCreateResponse = await files.retrieve(container_id, made.id)
        await save(runtime, written, to, outputs, force=force)
    finally:
        with contextlib.suppress(AgentKernelError):  # gone with its container
            await files.delete(container_id, made.id)
    rows = f"{found['count']:,} row{'' if found['count'] == 1 else 's'}"
    outputs.emit(note(f"Wrote {code(to)} ({rows}, {size(written.bytes)})."))


async def send(notebook: SessionUser, outputs: CellOutputs, word: str, name: str | None) -> None:
    """Upload a file and read it into the variable `name`, or one with the file's name.

    The code that reads it runs as a cell of the session, so the model sees it. Raises `InvalidRequest`,
    `TooLarge`, and what uploads and cells raise.
    """
    from agent_kernel.kernel.transfer.uploads import find
    from agent_kernel.kernel.transfer.uploads import send as upload

    plan = (await asyncio.to_thread(find, word, notebook.settings)).check(notebook.settings)
    if len(plan.uploads) != 1:
        raise InvalidRequest("%put takes one file.", hint="%upload takes folders and patterns.")
    file = plan.uploads[0]
    variable = name or _variable(file.file.path)
    if not variable.isidentifier() or keyword.iskeyword(variable):
        raise InvalidRequest(f"{variable!r} is not the name of a variable.", hint="Use %put FILE NAME.")
    code = await asyncio.to_thread(_reading, file.file.path, f"/mnt/data/{file.target}", variable)
    await upload(notebook, outputs, plan)
    await notebook.python(code, outputs)


def _variable(path: Path) -> str:
    """Return a file's name as that of a variable."""
    name = re.sub(r"\W+", "_", path.name.partition(".")[0]).strip("_")
    return f"_{name}" if name[:1].isdecimal() else name or "table"


def _reading(path: Path, inside: str, variable: str) -> str:
    """Return the code that reads the file `inside`; its kind is found from `path`, a file on this side."""
    from agent_kernel.kernel.tables.delimited import DELIMITERS

    suffix = path.suffix.lower()
    if suffix in DELIMITERS:
        call = f"read_csv({inside!r}{_as_read(path, suffix)})"
    elif suffix in _PANDAS:
        call = f"{_PANDAS[suffix]}({inside!r})"
    elif suffix in _LINES:
        call = f"read_json({inside!r}, lines=True)"
    elif suffix == ".json":
        return f"import json\n{variable} = json.load(open({inside!r}, encoding='utf-8'))"
    elif suffix in (".txt", ".md"):
        return f"{variable} = open({inside!r}, encoding='utf-8', errors='replace').read()"
    else:
        return f"{variable} = open({inside!r}, 'rb').read()"
    return f"import pandas as pd\n{variable} = pd.{call}"


def _as_read(path: Path, suffix: str) -> str:
    """Return the arguments for the separator and the encoding of a text table."""
    from agent_kernel.kernel.tables.delimited import DELIMITERS
    from agent_kernel.kernel.tables.dialect import choose
    from agent_kernel.kernel.tables.encodings import decode

    with path.open("rb") as file:
        data = file.read(SAMPLE)
    found = decode(data, whole=len(data) < SAMPLE)
    choice = choose(found.text, DELIMITERS[suffix])
    separator = choice.dialect.delimiter if choice.rating else ","
    given = f", sep={separator!r}" if separator != "," else ""
    return given + (f", encoding={found.codec!r}" if found.codec != "utf-8" else "")
