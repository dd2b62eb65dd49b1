"""The variables of the Python session for the extension: what `%vars` lists and `%get` shows.

Nothing is asked of the session while a cell runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent_kernel.kernel.magics.python import listed
from agent_kernel.kernel.python.asking import ask, checked
from agent_kernel.kernel.python.tables import look

if TYPE_CHECKING:
    from agent_kernel.kernel.panel.messages import PanelRequest
    from agent_kernel.kernel.panel.source import PanelSource

LONGEST_NAME = 200
MOST_ROWS = 100


async def listing(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Return a row for each variable (name, type, shape, memory, value); `session` is false without one."""
    request.only(())
    found = await source.look(lambda: ask(source.notebook, {"ask": "variables"}))
    if found is None:
        return {"session": False, "rows": [], "also": ""}
    rows, also = listed(checked(found))
    return {"session": True, "rows": [[*map(_inert, row)] for row in rows], "also": ", ".join(also)}


async def table(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Return the first rows of a variable that is a table."""
    request.only(("name", "rows"))
    name = request.text("name", longest=LONGEST_NAME)
    rows = request.number("rows", most=MOST_ROWS)
    kind, preview, _ = await source.look(lambda: look(source.notebook, name, rows))
    return {
        "type": _inert(kind),
        "shape": preview.shape,
        "columns": [[_inert(each.name), _inert(each.words)] for each in preview.columns],
        "rows": [[*map(_inert, row)] for row in preview.rows],
    }


def _inert(text: str) -> str:
    from agent_kernel.kernel.render.text import clean

    return clean(text)
