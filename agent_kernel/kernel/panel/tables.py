"""The rows of a table, in a file or a variable. The extension sorts and filters them itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.panel.held.listing import LONGEST_PATH, spelled
from agent_kernel.kernel.panel.variables import LONGEST_NAME
from agent_kernel.kernel.python.tables import part_of

if TYPE_CHECKING:
    from openai.types.containers import FileCreateResponse

    from agent_kernel.kernel.panel.messages import PanelRequest
    from agent_kernel.kernel.panel.source import PanelSource
    from agent_kernel.kernel.tables.files import TextFile
    from agent_kernel.kernel.tables.preview import Extent, Preview

MOST_ROWS = 20_000
MOST_COLUMNS = 60
"""The rows and columns of a table that a page can get; the rest is counted."""

LONGEST_CELL = 200
LARGEST_REPLY = 1_000_000
"""Characters of the rows in one reply; the next one goes on behind it."""

_AGAIN = "Run the cell again."


async def rows(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Return the rows of a file or variable from `offset` on, and where the next begin, None after the last.

    Raises `InvalidRequest` if there is no such file or variable, if it is not a table, and while a cell runs
    if a program in the container reads it.
    """
    request.only(("path", "variable", "offset"))
    offset = request.number("offset", most=MOST_ROWS)
    of_variable = "variable" in request.arguments
    preview = await (_variable if of_variable else _file)(source, request, offset)
    lines: list[list[str]] = []
    left = LARGEST_REPLY
    for row in preview.rows:
        cells = [cell[:LONGEST_CELL] for cell in row]
        left -= sum(map(len, cells))
        if lines and left < 0:
            break
        lines.append(cells)
    following = offset + len(lines)
    return {
        "columns": [column.name[:LONGEST_CELL] for column in preview.columns],
        "rows": lines,
        "next": following if lines and following < min(preview.count, MOST_ROWS) else None,
        "count": preview.count,
        "width": preview.width,
        "whole": preview.whole,
    }


async def _variable(source: PanelSource, request: PanelRequest, offset: int) -> Preview:
    from agent_kernel.kernel.tables.preview import Extent

    name = request.text("variable", longest=LONGEST_NAME)
    extent = Extent(MOST_ROWS - offset, MOST_COLUMNS)
    return await source.look(lambda: part_of(source.notebook, name, offset, extent))


async def _file(source: PanelSource, request: PanelRequest, offset: int) -> Preview:
    """Return the rows of a file from `offset` on."""
    from agent_kernel.kernel.render.files import inspection
    from agent_kernel.kernel.render.files.artifacts import short_path
    from agent_kernel.kernel.render.files.tabular import may_be_table
    from agent_kernel.kernel.tables.files import text_file
    from agent_kernel.kernel.tables.preview import Extent, NoTable

    path = request.text("path", longest=LONGEST_PATH)
    file = await source.listings.find(source.notebook, spelled(short_path(path)), _AGAIN)
    if not may_be_table(file.path):
        raise InvalidRequest("This file is not shown as a table.")
    extent = Extent(MOST_ROWS, MOST_COLUMNS)
    try:
        if (kind := text_file(file.path)) is not None:
            preview = await _text(source, file, kind, extent)
            preview.rows = preview.rows[offset:]
            return preview
        runtime = await source.notebook.runtime()
        place = (file.container_id, file.path, offset)
        return await source.look(lambda: inspection.part(runtime, *place, extent))
    except NoTable as error:
        raise InvalidRequest(f"This is not shown as a table: {error}.") from error


async def _text(source: PanelSource, file: FileCreateResponse, kind: TextFile, extent: Extent) -> Preview:
    """Return the table in a text file, which this process reads. Raises `NoTable`."""
    from agent_kernel.kernel.render.files.tabular import read
    from agent_kernel.kernel.tables.files import read_file

    limit = source.notebook.settings.max_inline
    data = await read(await source.notebook.runtime(), file, limit)
    whole = file.bytes <= limit
    return await asyncio.to_thread(read_file, data, kind, whole=whole, limit=limit, extent=extent)
