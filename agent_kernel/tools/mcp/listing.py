"""The tools of a server: as its item lists them, and as functions that models may call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent_kernel.protocol.deltas import made_upstream
from agent_kernel.tools.base import Namespace, Tool, ToolEntry
from agent_kernel.tools.mcp.connection import McpFailure
from agent_kernel.tools.mcp.drafts import LIST
from agent_kernel.tools.mcp.results import INTERNAL, PROTOCOL, clipped, is_deep
from agent_kernel.tools.mcp.spec import McpServer
from agent_kernel.tools.namespaces import free_name
from agent_kernel.tools.outside import described_outside

Json = Mapping[str, Any]

MOST_OFFERED = 500
"""Tools of one server that a request may offer."""
_LONGEST_NAME = 256
_LONGEST_DESCRIPTION = 8000
_LONGEST_SCHEMA = 64_000
_NO_ARGUMENTS: Json = {"type": "object", "properties": {}}


@dataclass(frozen=True)
class ListedTool:
    """A tool of a server, by its name there."""

    server: McpServer
    name: str
    read_only: bool

    @property
    def asks(self) -> bool:
        """Whether the request wants its calls approved."""
        return self.server.approval.asks(self.name, self.read_only)


def listed_items(server: McpServer, tools: Sequence[Any]) -> list[Json]:
    """Return the tools that the request allows, as an `mcp_list_tools` item has them.

    A tool whose name or schema cannot be used is left out. Raises `McpFailure` for too many.
    """
    found: dict[str, Json] = {}
    for tool in tools:
        read_only = bool(tool.annotations is not None and tool.annotations.read_only_hint)
        allowed = server.allowed is None or server.allowed.matches(tool.name, read_only)
        if allowed and _is_usable(tool.name, tool.input_schema):
            found.setdefault(
                tool.name,
                {
                    "annotations": {"read_only": read_only},
                    "description": clipped(tool.description or "", _LONGEST_DESCRIPTION),
                    "input_schema": tool.input_schema,
                    "name": tool.name,
                },
            )
    if len(found) > MOST_OFFERED:
        raise McpFailure(
            f"It lists {len(found)} tools. At most {MOST_OFFERED} can be offered: choose with allowed_tools.",
            PROTOCOL,
            INTERNAL,
        )
    return list(found.values())


def _is_usable(name: object, schema: object) -> bool:
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
        return False
    return isinstance(schema, Mapping) and not is_deep(schema) and len(repr(schema)) <= _LONGEST_SCHEMA


def known_list(server: McpServer, items: Sequence[Json]) -> Json | None:
    """Return the newest list of a server in a conversation; None if it must be listed.

    It must be if `allowed_tools` names a tool that the list lacks.
    """
    for item in reversed(items):
        if item.get("type") != LIST or item.get("server_label") != server.label or item.get("error"):
            continue
        if made_upstream(item) is not None:  # not our server's words
            continue
        names = {each.get("name") for each in _tools_in(item)}
        wanted = server.allowed.names if server.allowed is not None else None
        return item if wanted is None or wanted <= names else None
    return None


def _tools_in(item: Json) -> list[Json]:
    tools = item.get("tools")
    return [each for each in tools if isinstance(each, Mapping)] if isinstance(tools, list) else []


def function_entries(
    tool: Tool, entry: ToolEntry, server: McpServer, item: Json, taken: set[str]
) -> Iterator[ToolEntry]:
    """Yield an entry for each function of a list that the request allows; `taken` are the names so far.

    The list may be the client's own words: it was in the conversation.
    """
    for each in _tools_in(item):
        name, schema = each.get("name"), each.get("input_schema")
        hints = each.get("annotations")
        read_only = bool(isinstance(hints, Mapping) and hints.get("read_only"))
        if not isinstance(name, str) or not _is_usable(name, schema or _NO_ARGUMENTS):
            continue
        if server.allowed is not None and not server.allowed.matches(name, read_only):
            continue
        flat = free_name(server.label, name, taken)
        spec = {
            "type": "function",
            "name": flat,
            "description": described_outside(
                f"the MCP server {server.label}", str(each.get("description") or "")
            ),
            "parameters": schema or _NO_ARGUMENTS,
            "strict": False,
        }
        group = Namespace(entry.spec, server.label, name)
        private = ListedTool(server, name, read_only)
        yield ToolEntry(tool, entry.index, spec, None, group, private, deferred=server.deferred)


def flat_mcp_choice(choice: Any, entries: Sequence[ToolEntry]) -> Any:
    """Return `tool_choice` with the tools of servers as the functions that they are offered as."""
    if not isinstance(choice, Mapping):
        return choice
    if choice.get("type") == "allowed_tools" and isinstance(choice.get("tools"), list):
        return {**choice, "tools": [one for each in choice["tools"] for one in _meant(each, entries)]}
    if choice.get("type") != "mcp":
        return choice
    found = _meant(choice, entries)
    if len(found) == 1:
        return found[0]
    return {"type": "allowed_tools", "mode": "required", "tools": found}


def _meant(reference: Any, entries: Sequence[ToolEntry]) -> list[Any]:
    if not isinstance(reference, Mapping) or reference.get("type") != "mcp":
        return [reference]
    name = reference.get("name")
    return [
        {"type": "function", "name": entry.spec["name"]}
        for entry in entries
        if isinstance(entry.private, ListedTool)
        and entry.private.server.label == reference.get("server_label")
        and name in (None, entry.private.name)
    ]
