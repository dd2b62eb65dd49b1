"""Whether a request can have `web_search` on this server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent_kernel.errors import InvalidRequest
from agent_kernel.tools.base import ToolEntry
from agent_kernel.tools.request import is_codex
from agent_kernel.tools.web_search.tool import WEB_SEARCH

if TYPE_CHECKING:
    from agent_kernel.tools.web_search.access import WebAccess


def searchable(
    entries: Sequence[ToolEntry], access: WebAccess | None, client_metadata: object
) -> tuple[Sequence[ToolEntry], list[str]]:
    """Return the entries that can be served, and the types of those that are left out.

    Without a search service `web_search` is refused with `InvalidRequest`. For Codex CLI, which sends it with
    every request, used or not, it is left out.
    """
    found = [entry for entry in entries if entry.tool is WEB_SEARCH]
    if not found or (access is not None and access.backend is not None):
        return entries, []
    if is_codex(client_metadata):
        kept = [entry for entry in entries if entry.tool is not WEB_SEARCH]
        return kept, sorted({str(entry.spec["type"]) for entry in found})
    where = f"tools[{found[0].index}].type"
    raise InvalidRequest(
        "This server cannot search the web: no search service is configured.",
        hint="Its operator can set AGENT_KERNEL_WEB_SEARCH. Or offer a function or an MCP server.",
        param=where,
        code="unsupported_tool",
    )
