"""Show the files that a turn wrote: pictures, tables, pages, and one line about all other files.

Files are sorted by path, and the outputs do not depend on time or place. Count and bytes are limited;
files that are not shown are named or counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from agent_kernel.kernel.render.bundles import METADATA_KEY, Bundle, note, table
from agent_kernel.kernel.render.files import inspection, pages, pictures, previews
from agent_kernel.kernel.render.files.artifacts import short_path
from agent_kernel.kernel.render.files.previews import DELIMITERS, JSON_SUFFIXES, Preview
from agent_kernel.kernel.render.text import code, size

if TYPE_CHECKING:
    from openai.types.containers import FileCreateResponse

    from agent_kernel.runtime.base import Runtime

PREFIX = 256 << 10
"""The number of bytes read for the first rows of a table that is too large to read whole."""

JSON_LIMIT = 1 << 20
"""The largest JSON file read, in bytes: its objects take many times that memory."""

TURN_LIMIT = 2
"""The limit for all pictures and pages of one turn, as a multiple of `max_inline`."""


@dataclass(frozen=True)
class GalleryLimits:
    """Limits for showing a turn's files."""

    inline: int
    """The largest picture or table shown, in bytes; a larger one is only named."""
    files: int
    """The number of files shown; as many again are named, the rest are counted."""


async def show_files(
    runtime: Runtime, changed: Sequence[FileCreateResponse], limits: GalleryLimits, *, count: int
) -> AsyncIterator[Bundle]:
    """Yield bundles for the files a turn wrote; `count` is how many it wrote in all.

    Raises what `ContainerFiles.content` raises.
    """
    visible = [file for file in changed if not _hidden(file.path)]
    viewer = _Viewer(runtime, limits.inline)
    others: list[FileCreateResponse] = []
    shown = 0
    for file in visible:
        bundle = await viewer.view(file) if shown < limits.files else None
        if bundle is None:
            others.append(file)
            continue
        shown += 1
        bundle.metadata.setdefault(METADATA_KEY, {}).update(file_id=file.id, path=file.path)
        yield bundle
    named = others[: limits.files]
    if named:
        yield _line(named)
    rest = count - shown - len(named)
    if rest:
        yield note(f"…and {rest:,} more file{'' if rest == 1 else 's'}; `%files` lists them.")


def _hidden(path: str) -> bool:
    """Return whether a path is hidden or internal to programs: counted, never shown."""
    parts = PurePosixPath(short_path(path)).parts
    return any(part.startswith(".") or part == "__pycache__" for part in parts)


def _line(files: Sequence[FileCreateResponse]) -> Bundle:
    """Return the line that names the files not shown, and how to download them."""
    names = ", ".join(f"{code(short_path(file.path))} ({size(file.bytes)})" for file in files)
    bundle = note(f"Wrote {names}; `%download NAME` fetches a file.")
    about = [{"file_id": file.id, "path": file.path} for file in files]
    bundle.metadata[METADATA_KEY] = about[0] if len(about) == 1 else {"files": about}
    return bundle


class _Viewer:
    """Creates the outputs for one turn's files; embedded files count against the turn's limit."""

    def __init__(self, runtime: Runtime, limit: int) -> None:
        self._runtime = runtime
        self._limit = limit
        self._room = TURN_LIMIT * limit

    async def view(self, file: FileCreateResponse) -> Bundle | None:
        """Return the output for one file; None for a file that is only named."""
        suffix = PurePosixPath(file.path).suffix.lower()
        if mime := pictures.kind_of(file.path):
            data = await self._embedded(file, self._limit)
            return pictures.picture(short_path(file.path), data, mime) if data else None
        if suffix in (".html", ".htm"):
            data = await self._embedded(file, min(self._limit, pages.MAX_BYTES))
            page = data.decode("utf-8-sig", "replace") if data else ""
            return pages.frame(short_path(file.path), page, file.bytes) if page.strip() else None
        preview = await self._preview(file, suffix)
        return _table(file, preview) if preview else None

    async def _embedded(self, file: FileCreateResponse, limit: int) -> bytes | None:
        """Return the whole file to embed in the notebook; None if it is too large."""
        limit = min(limit, self._room)
        if file.bytes > limit:
            return None
        data = await self._read(file, limit + 1)
        if len(data) > limit:
            return None
        self._room -= len(data)
        return data

    async def _read(self, file: FileCreateResponse, limit: int) -> bytes:
        """Read at most `limit` bytes from the start of the file, which may have grown since it was listed."""
        data = bytearray()
        files = self._runtime.containers.files
        async with aclosing(files.content(file.container_id, file.id)) as chunks:
            async for chunk in chunks:
                data += chunk
                if len(data) >= limit:
                    break
        return bytes(data[:limit])

    async def _preview(self, file: FileCreateResponse, suffix: str) -> Preview | None:
        if suffix in inspection.SUFFIXES:
            return await inspection.preview(self._runtime, file.container_id, file.path)
        if suffix not in (*DELIMITERS, *JSON_SUFFIXES):
            return None
        whole = file.bytes <= (self._limit if suffix in DELIMITERS else min(self._limit, JSON_LIMIT))
        data = await self._read(file, file.bytes if whole else min(PREFIX, self._limit))
        return await asyncio.to_thread(_parsed, data, suffix, whole)


def _parsed(data: bytes, suffix: str, whole: bool) -> Preview | None:
    text = data.decode("utf-8-sig", "replace")
    if suffix in DELIMITERS:
        return previews.of_csv(text, DELIMITERS[suffix], whole=whole)
    return previews.of_json(text, lines=suffix != ".json", whole=whole)


def _table(file: FileCreateResponse, preview: Preview) -> Bundle:
    caption = f"{code(short_path(file.path))}: {preview.shape}, {size(file.bytes)}"
    if preview.sheets > 1:
        caption += f"; the first of {preview.sheets:,} sheets"
    if len(preview.rows) < preview.count and preview.rows:
        caption += f"; the first {len(preview.rows)} rows"
    if not preview.whole:
        caption += f", types and missing values of the first {preview.count:,}"
    header = [column.name for column in preview.columns]
    notes = [column.words for column in preview.columns]
    rows = preview.rows
    if preview.width > len(header):
        header, notes = [*header, "…"], [*notes, ""]
        rows = [[*row, *[""] * (len(preview.columns) - len(row)), "…"] for row in rows]
    return table(header, rows, caption, notes).bundle()
