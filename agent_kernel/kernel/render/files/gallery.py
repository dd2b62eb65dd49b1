"""Show the files that a turn wrote: pictures, tables, pages, and one line about all other files.

Files are sorted by path, and the outputs do not depend on time or place. Count and bytes are limited;
files that are not shown are named or counted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from agent_kernel.kernel.render.bundles import METADATA_KEY, Bundle, note, table
from agent_kernel.kernel.render.files import pages, pictures
from agent_kernel.kernel.render.files.artifacts import short_path
from agent_kernel.kernel.render.files.tabular import is_called_table, may_be_table, preview_of, read
from agent_kernel.kernel.render.text import code, size
from agent_kernel.kernel.tables.caption import for_model
from agent_kernel.kernel.tables.preview import NoTable, Preview

if TYPE_CHECKING:
    from openai.types.containers import FileCreateResponse

    from agent_kernel.runtime.base import Runtime

TRIED = 2
"""Files with a name of a table that are read to see whether they are one, per file that may be shown."""

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
    runtime: Runtime,
    changed: Sequence[FileCreateResponse],
    limits: GalleryLimits,
    *,
    count: int,
    captions: list[str] | None = None,
    displayed: pictures.Seen = frozenset(),
) -> AsyncIterator[Bundle]:
    """Yield bundles for the files a turn wrote; `count` is how many it wrote in all.

    A picture in `displayed` is not shown, because the reader has seen it above. With the same bytes it is not
    named either.
    The captions of tables are also added to `captions`, with their columns, for the model.
    Raises what `ContainerFiles.content` raises.
    """
    environments = _environments([file.path for file in changed])
    visible = [file for file in changed if not _hidden(file.path, environments)]
    viewer = _Viewer(runtime, limits.inline, TRIED * limits.files, displayed)
    others: list[FileCreateResponse] = []
    shown = 0
    for file in visible:
        bundle = await viewer.view(file) if shown < limits.files else None
        if bundle is None and file.path in viewer.repeated:
            continue
        if bundle is None:
            others.append(file)
            continue
        shown += 1
        if captions is not None and (preview := viewer.tables.get(file.path)):
            captions.append(f"{file.path}: {for_model(preview)}")
        bundle.metadata.setdefault(METADATA_KEY, {}).update(file_id=file.id, path=file.path)
        yield bundle
    named = others[: limits.files]
    if named:
        yield _line(named, viewer.reasons)
    rest = count - shown - len(viewer.repeated) - len(named)
    if rest:
        yield note(f"…and {rest:,} more file{'' if rest == 1 else 's'}; `%files` lists them.")


_INTERNAL = {"__pycache__", "node_modules", "site-packages"}


def _hidden(path: str, environments: Set[str]) -> bool:
    """Return whether a path is hidden or internal to programs: counted, never shown."""
    pure = PurePosixPath(short_path(path))
    installed = not environments.isdisjoint(map(str, pure.parents))
    return installed or any(part.startswith(".") or part in _INTERNAL for part in pure.parts)


def _environments(paths: Sequence[str]) -> set[str]:
    """Return the folders that are virtual environments, as far as the paths tell."""
    found = set()
    for path in paths:
        pure = PurePosixPath(short_path(path))
        if pure.name == "pyvenv.cfg":
            found.add(str(pure.parent))
        elif "site-packages" in pure.parts[3:]:  # ENVIRONMENT/lib/python3.x/site-packages
            found.add(str(PurePosixPath(*pure.parts[: pure.parts.index("site-packages") - 2])))
    return found - {"."}


def _line(files: Sequence[FileCreateResponse], reasons: Mapping[str, str]) -> Bundle:
    """Return the line that names the files not shown, says why, and how to download them."""

    def named(file: FileCreateResponse) -> str:
        reason = reasons.get(file.path)
        why = f", no table shown: {reason}" if reason else ""
        return f"{code(short_path(file.path))} ({size(file.bytes)}{why})"

    names = ", ".join(map(named, files))
    bundle = note(f"Wrote {names}; `%download NAME` fetches a file.")
    about = [{"file_id": file.id, "path": file.path} for file in files]
    bundle.metadata[METADATA_KEY] = about[0] if len(about) == 1 else {"files": about}
    return bundle


class _Viewer:
    """Creates the outputs for one turn's files; embedded files count against the turn's limit."""

    def __init__(self, runtime: Runtime, limit: int, tries: int, displayed: pictures.Seen) -> None:
        self._displayed = displayed
        self._tries = tries
        self._runtime = runtime
        self._limit = limit
        self._room = TURN_LIMIT * limit
        self.tables: dict[str, Preview] = {}
        """The tables shown, by path."""
        self.repeated: set[str] = set()
        """The pictures that were displayed already, by path."""
        self.reasons: dict[str, str] = {}
        """Why a file with the name of a table is not shown as one, by path."""

    async def view(self, file: FileCreateResponse) -> Bundle | None:
        """Return the output for one file; None for a file that is only named."""
        suffix = PurePosixPath(file.path).suffix.lower()
        if file.path in self._displayed:
            return None
        if mime := pictures.kind_of(file.path):
            data = await self._embedded(file, self._limit)
            if data and pictures.digest(data) in self._displayed:
                self._room += len(data)
                self.repeated.add(file.path)
                return None
            return pictures.picture(short_path(file.path), data, mime) if data else None
        if suffix in (".html", ".htm"):
            data = await self._embedded(file, min(self._limit, pages.MAX_BYTES))
            page = data.decode("utf-8-sig", "replace") if data else ""
            return pages.frame(short_path(file.path), page, file.bytes) if page.strip() else None
        return await self._table(file) if may_be_table(file.path) else None

    async def _table(self, file: FileCreateResponse) -> Bundle | None:
        if self._tries <= 0:  # a turn may write thousands of text files that are not tables
            return None
        self._tries -= 1
        try:
            preview = await preview_of(self._runtime, file, self._limit)
        except NoTable as error:
            if is_called_table(file.path):
                self.reasons[file.path] = str(error)
            return None
        self.tables[file.path] = preview
        return _table(file, preview)

    async def _embedded(self, file: FileCreateResponse, limit: int) -> bytes | None:
        """Return the whole file to embed in the notebook; None if it is too large."""
        limit = min(limit, self._room)
        if file.bytes > limit:
            return None
        data = await read(self._runtime, file, limit + 1)
        if len(data) > limit:
            return None
        self._room -= len(data)
        return data


def _table(file: FileCreateResponse, preview: Preview) -> Bundle:
    caption = f"{code(short_path(file.path))}: {preview.shape}, {size(file.bytes)}"
    caption += "".join(f"; {note}" for note in preview.notes)
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
