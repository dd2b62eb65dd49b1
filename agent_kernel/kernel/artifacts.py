"""Files that a turn wrote to the container, found by comparing two lists and shown as outputs.

Pictures become `image/*` outputs, CSV files a small table, everything else one line. The order is by path,
and nothing in the outputs depends on when or where they were made.
"""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from agent_kernel.kernel.render import METADATA_KEY, Bundle, note, table
from agent_kernel.kernel.text import clean, code, size

if TYPE_CHECKING:
    from openai.types.containers import FileCreateResponse

    from agent_kernel.kernel.settings import KernelSettings
    from agent_kernel.runtime.base import ContainerFiles

WORKSPACE = PurePosixPath("/mnt/data")
LISTED = 1000
"""How many files, newest first, a snapshot looks at."""

PREVIEW_ROWS = 5
PREVIEW_COLUMNS = 12
PREVIEW_BYTES = 256 << 10
"""How much of a table too large to show is read for its first rows."""

_MAGIC = {
    ".png": ("image/png", (b"\x89PNG\r\n\x1a\n",)),
    ".jpg": ("image/jpeg", (b"\xff\xd8\xff",)),
    ".jpeg": ("image/jpeg", (b"\xff\xd8\xff",)),
    ".gif": ("image/gif", (b"GIF87a", b"GIF89a")),
}
_DELIMITERS = {".csv": ",;\t", ".tsv": "\t"}


@dataclass(frozen=True)
class Snapshot:
    """The files of a container at one moment, by path. `complete` is false where the list was cut."""

    files: Mapping[str, FileCreateResponse]
    complete: bool = True

    def changed_since(self, before: Snapshot) -> list[FileCreateResponse]:
        """New and changed files, by path. Deleted ones are not mentioned."""
        newest = max((_modified(file) for file in before.files.values()), default=0)

        def changed(path: str, file: FileCreateResponse) -> bool:
            if path in before.files:
                return _signature(before.files[path]) != _signature(file)
            return before.complete or _modified(file) >= newest

        return [file for path, file in sorted(self.files.items()) if changed(path, file)]


def _extension(file: FileCreateResponse) -> Mapping[str, Any]:
    found = (file.model_extra or {}).get("agent_kernel")
    return found if isinstance(found, Mapping) else {}


def _modified(file: FileCreateResponse) -> int:
    return int(_extension(file).get("modified_ns") or file.created_at * 1_000_000_000)


def _signature(file: FileCreateResponse) -> tuple[Any, ...]:
    return (file.bytes, file.created_at, _extension(file).get("modified_ns"))


async def listed(files: ContainerFiles, container_id: str) -> AsyncIterator[FileCreateResponse]:
    """All files of a container, newest first, page by page."""
    after: str | None = None
    while True:
        page = await files.list(container_id, after=after, limit=100)
        for file in page.data:
            yield file
        if not page.has_more or not page.data:
            return
        after = page.data[-1].id


async def snapshot(files: ContainerFiles, container_id: str) -> Snapshot:
    """The newest `LISTED` files. Raises what `ContainerFiles.list` raises."""
    found: dict[str, FileCreateResponse] = {}
    async for file in listed(files, container_id):
        if len(found) == LISTED:
            return Snapshot(found, complete=False)
        found[file.path] = file
    return Snapshot(found)


async def show_files(
    files: ContainerFiles, changed: list[FileCreateResponse], settings: KernelSettings
) -> AsyncIterator[Bundle]:
    """A bundle for each of the first `max_inline_files`, and a line about the rest."""
    for file in changed[: settings.max_inline_files]:
        yield await _show(files, file, settings.max_inline)
    rest = changed[settings.max_inline_files :]
    if rest:
        more = f"…and {len(rest):,} more file{'' if len(rest) == 1 else 's'}; `%files` lists them."
        yield note(more)


async def _show(files: ContainerFiles, file: FileCreateResponse, limit: int) -> Bundle:
    suffix = PurePosixPath(file.path).suffix.lower()
    if suffix in _MAGIC:
        bundle = await _picture(files, file, limit) if file.bytes <= limit else None
    elif suffix in _DELIMITERS:
        bundle = await _preview(files, file, limit)
    else:
        bundle = None
    bundle = bundle or note(f"Wrote {code(short_path(file.path))} ({size(file.bytes)})")
    bundle.metadata.setdefault(METADATA_KEY, {}).update(file_id=file.id, path=file.path)
    return bundle


def short_path(path: str) -> str:
    """The path as commands in the workspace would write it."""
    pure = PurePosixPath(path)
    return str(pure.relative_to(WORKSPACE)) if pure.is_relative_to(WORKSPACE) else path


async def _read(files: ContainerFiles, file: FileCreateResponse, limit: int) -> bytes:
    """At most `limit` bytes from the start of the file (it may have grown since it was listed)."""
    data = bytearray()
    async with aclosing(files.content(file.container_id, file.id)) as chunks:
        async for chunk in chunks:
            data += chunk
            if len(data) >= limit:
                break
    return bytes(data[:limit])


async def _picture(files: ContainerFiles, file: FileCreateResponse, limit: int) -> Bundle | None:
    mime, magic = _MAGIC[PurePosixPath(file.path).suffix.lower()]
    data = await _read(files, file, limit + 1)
    if len(data) > limit or not data.startswith(magic):
        return None
    name = clean(short_path(file.path))
    encoded = base64.b64encode(data).decode("ascii")
    return Bundle({mime: encoded, "text/plain": f"[picture: {name}]"}, {mime: {"alt": name}})


async def _preview(files: ContainerFiles, file: FileCreateResponse, limit: int) -> Bundle | None:
    whole = file.bytes <= limit
    data = await _read(files, file, limit if whole else PREVIEW_BYTES)
    text = data.decode("utf-8-sig", "replace")
    rows = _rows(text, _DELIMITERS[PurePosixPath(file.path).suffix.lower()])
    if not rows or "\0" in text:
        return None
    header, body = rows[0], rows[1:]
    shape = f"{len(body):,} rows × {len(header):,} columns" if whole else f"{len(header):,} columns"
    shown = [row[:PREVIEW_COLUMNS] for row in body[:PREVIEW_ROWS]]
    more = len(header) > PREVIEW_COLUMNS
    if more:
        header = [*header[:PREVIEW_COLUMNS], "…"]
        shown = [[*row, "…"] for row in shown]
    caption = f"{code(short_path(file.path))}: {shape}, {size(file.bytes)}"
    if len(body) > PREVIEW_ROWS or not whole:
        caption += f"; the first {len(shown)} rows"
    return table(header, shown, caption).bundle()


def _rows(text: str, delimiters: str) -> list[list[str]]:
    """Rows of a delimited text, blank lines left out; empty where it is no such text."""
    first = text.partition("\n")[0]
    delimiter = max(delimiters, key=first.count)
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
    except csv.Error:  # a field of more than 128 KiB, say: then it is one line like any other file
        return []
