"""Search by a tool of an MCP server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent_kernel.tools.mcp.connection import McpFailure
from agent_kernel.tools.mcp.filters import ApprovalRule
from agent_kernel.tools.mcp.results import McpProgress
from agent_kernel.tools.mcp.servers import McpLimits, TurnServers
from agent_kernel.tools.mcp.spec import McpServer
from agent_kernel.tools.web_search.backends.services import only, pages_in
from agent_kernel.tools.web_search.base import FoundPage, WebFailure, WebQuery

_LISTS = ("results", "result", "data", "items")
_ADDRESS = ("url", "link", "href")
_TITLE = ("title", "name")
_TEXT = ("text", "content", "snippet", "description", "summary")
_LINK = re.compile(r"https?://[^\s<>()\[\]\"']+")


class McpBackend:
    """Calls one tool with `{"query": ...}`; see `SearchBackend`. The key is sent as a bearer token.

    The result is JSON with a list of objects that have an address, or text with addresses.
    """

    def __init__(self, url: str, key: str, tool: str, seconds: float) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._server = McpServer("search", "web_search", ApprovalRule(), url=url, headers=headers)
        self._tool = tool
        self._limits = McpLimits(only(url), connect=seconds, call=seconds)

    async def search(self, query: WebQuery) -> Sequence[FoundPage]:
        """See `SearchBackend`."""
        servers = TurnServers(self._limits)
        try:
            outcome = await servers.call(self._server, self._tool, {"query": query.text}, _quiet)
        except McpFailure as error:  # its message can be the server's own
            raise WebFailure(f"The MCP server that searches failed ({error.kind} {error.number}).") from None
        finally:
            await servers.close()
        if outcome.error is not None:
            raise WebFailure("The tool of the MCP server that searches reported an error.")
        return list(_pages(outcome.output or ""))[: query.limit]


async def _quiet(report: McpProgress) -> None:
    """Show no progress: a search has no event for it."""


def _pages(text: str) -> Iterator[FoundPage]:
    given = _listed(text)
    if given is not None:
        yield from pages_in([_result(each) for each in given], ("url", "title", "text"))
        return
    lines = text.splitlines()
    links = [(place, found[0]) for place, line in enumerate(lines) for found in _LINK.finditer(line)]
    around = [
        {"url": url.rstrip(".,;:"), "title": "", "text": "\n".join(lines[max(0, place - 1) : place + 3])}
        for place, url in links
    ]
    yield from pages_in(around, ("url", "title", "text"))


def _listed(text: str) -> list[Any] | None:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, Mapping):
        value = next((value[name] for name in _LISTS if isinstance(value.get(name), list)), None)
    return value if isinstance(value, list) else None


def _result(each: Any) -> dict[str, Any]:
    known = each if isinstance(each, Mapping) else {}
    names = {"url": _ADDRESS, "title": _TITLE, "text": _TEXT}
    return {
        field: next((known[name] for name in among if known.get(name)), None)
        for field, among in names.items()
    }
