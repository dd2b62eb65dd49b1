"""Tools in a conversation: an `additional_tools` item offers them from its place on.

Clients that do not send their tools with each request, as Codex CLI, send them so. A `tool_search_output` of
a client offers those that it found. Only tools that the client
runs may come this way: the item stays in the conversation, and the settings of other tools may be secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.tools.base import ToolEntry
from agent_kernel.tools.namespaces import distinct
from agent_kernel.tools.request import read_tools
from agent_kernel.tools.tool_search.loading import OUTPUT

Json = Mapping[str, Any]

TYPE = "additional_tools"


def offers_tools(item: Json) -> bool:
    """Return whether an item brings tools of the client."""
    found = item.get("type") == OUTPUT and item.get("execution") == "client"
    return found or item.get("type") == TYPE


def read_additional(item: Json, where: str) -> list[ToolEntry]:
    """Return the tools of an item. Raises `InvalidRequest`, also for tools that the client does not run."""
    try:
        entries = read_tools(item.get("tools"))
    except InvalidRequest as error:
        param = f"{where}.{error.param}"
        raise InvalidRequest(
            f"{where}: {error.message}", hint=error.hint, param=param, code=error.request_code
        ) from None
    for entry in entries:
        if not entry.tool.by_client:
            raise InvalidRequest(
                f"{where}: {item['type']} can have only tools that the client runs, not {entry.tool.type}.",
                hint="Put it into the request's tools.",
                param=f"{where}.tools[{entry.index}].type",
                code="unsupported_tool",
            )
    return entries


def with_additional(
    tools: Sequence[ToolEntry], items: Sequence[Json], *, earlier: bool = False
) -> list[ToolEntry]:
    """Return the request's tools with those of checked items. Of two with one name the later is offered.

    `earlier`: the items are from before the request.
    """
    found: dict[Any, ToolEntry] = {}
    index = 1 + max((entry.index for entry in tools), default=-1)
    for item in items:
        if offers_tools(item):
            entries = read_additional(item, str(item["type"]))
            found |= {_key(entry): replace(entry, index=index + entry.index) for entry in entries}
            index += len(item["tools"])
    given = {_key(entry): entry for entry in tools}
    kept = [entry for key, entry in given.items() if earlier or key not in found]
    added = [entry for key, entry in found.items() if not earlier or key not in given]
    return distinct([*kept, *added])


def _key(entry: ToolEntry) -> tuple[object, ...]:
    """Return what no two tools of a turn have in common: a function's name, or the place of another tool."""
    if entry.namespace is not None:
        return entry.namespace.name, entry.namespace.function
    return (entry.spec.get("name"),) if entry.tool.repeated and not entry.lists else (entry.tool, entry.index)
