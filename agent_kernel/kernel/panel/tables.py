"""The rows of a table in the container for the extension, which sorts and filters them itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import InvalidRequest

if TYPE_CHECKING:
    from agent_kernel.kernel.panel.messages import PanelRequest
    from agent_kernel.kernel.panel.source import PanelSource
    from agent_kernel.kernel.tables.preview import Preview

MOST_ROWS = 20_000
MOST_COLUMNS = 60
"""The rows and columns of a table that a page can get; the rest is counted."""

LONGEST_CELL = 200
LARGEST_REPLY = 1_000_000
"""Characters of the rows in one reply; the next one goes on behind it."""

LONGEST_PATH = 4096


async def rows(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Return the rows of a text table from `offset` on, and where the next rows begin, None after the last.

    Raises `InvalidRequest` if there is no such file, or if it is no table in text.
    """
    request.only(("path", "offset"))
    path = request.text("path", longest=LONGEST_PATH)
    offset = request.number("offset", most=MOST_ROWS)
    preview = await _read(source, path)
    lines: list[list[str]] = []
    left = LARGEST_REPLY
    for row in preview.rows[offset:]:
        cells = [cell[:LONGEST_CELL] for cell in row]
        left -= sum(map(len, cells))
        if lines and left < 0:
            break
        lines.append(cells)
    following = offset + len(lines)
    return {
        "columns": [column.name[:LONGEST_CELL] for column in preview.columns],
        "rows": lines,
        "next": following if following < len(preview.rows) else None,
        "count": preview.count,
        "width": preview.width,
        "whole": preview.whole,
    }


async def _read(source: PanelSource, path: str) -> Preview:
    from agent_kernel.kernel.render.files.artifacts import WORKSPACE, snapshot
    from agent_kernel.kernel.render.files.tabular import read
    from agent_kernel.kernel.tables.files import read_file, text_file
    from agent_kernel.kernel.tables.preview import Extent, NoTable

    notebook = source.notebook
    if notebook.opened is None or notebook.container.id is None:
        raise InvalidRequest("There is no container.", hint="Run the cell again.")
    found = await snapshot(notebook.opened.containers.files, notebook.container.id)
    file = found.files.get(str(PurePosixPath(WORKSPACE) / path))
    if file is None:
        raise InvalidRequest("This file is not in the container any more.", hint="Run the cell again.")
    kind = text_file(file.path)
    if kind is None or kind.is_json:
        raise InvalidRequest("Of files of this kind only the first rows can be shown.")
    limit = notebook.settings.max_inline
    data = await read(await notebook.runtime(), file, limit)
    extent = Extent(MOST_ROWS, MOST_COLUMNS)
    whole = file.bytes <= limit
    try:
        return await asyncio.to_thread(read_file, data, kind, whole=whole, limit=limit, extent=extent)
    except NoTable as error:
        raise InvalidRequest(f"This is not shown as a table: {error}.") from error
