"""The `tools` and the `tool_choice` of a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.calls import SERVER_LABEL
from agent_kernel.tools.base import Environment, ToolEntry
from agent_kernel.tools.catalogue import catalogue
from agent_kernel.tools.coverage import unserved_tool
from agent_kernel.tools.namespaces import TYPE, distinct, read_namespace

Json = Mapping[str, Any]

_WORDS = ("auto", "none", "required")


_CODEX = "x-codex-"
"""Codex CLI's `client_metadata` has keys that begin so."""

SECRETS = ("authorization", "headers")


def is_codex(client_metadata: object) -> bool:
    """Return whether a request is from Codex CLI."""
    known = client_metadata if isinstance(client_metadata, Mapping) else {}
    return any(str(key).startswith(_CODEX) for key in known)


def read_tools(given: object) -> list[ToolEntry]:
    """Check `tools` and return its entries. Null means absent. Raises `InvalidRequest`."""
    if given is None:
        return []
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        raise InvalidRequest("tools must be a list.", param="tools")
    entries: list[ToolEntry] = []
    for index, spec in enumerate(given):
        where = f"tools[{index}]"
        if not isinstance(spec, Mapping) or not isinstance(spec.get("type"), str):
            raise InvalidRequest(f"{where} must be an object with a type.", param=where)
        tool = None if _asks_for_approvals(spec) else catalogue().get(spec["type"])
        if tool is None or not tool.lists:
            spec = _without_secrets(spec)
        if tool is None:
            if spec["type"] == TYPE:
                entries += read_namespace(spec, index)
            elif not _asks_for_approvals(spec):
                raise unserved_tool(spec["type"], where, ", ".join(catalogue().types))
            continue
        if not tool.repeated and any(entry.tool is tool for entry in entries):
            raise InvalidRequest(f"The {tool.type} tool may be listed only once.", param=where)
        entries.append(tool.read(spec, index))
    _check_labels(entries)
    return distinct(entries)


def _without_secrets(spec: Json) -> Json:
    """Return an entry without the fields for which only `mcp` has a use. They would be shown and stored."""
    kept = {key: value for key, value in spec.items() if key not in SECRETS}
    if isinstance(kept.get("tools"), list | tuple):
        kept["tools"] = [
            _without_secrets(each) if isinstance(each, Mapping) else each for each in kept["tools"]
        ]
    return kept


def _check_labels(entries: Sequence[ToolEntry]) -> None:
    seen: set[object] = set()
    for entry in entries:
        label = entry.spec.get("server_label") if entry.lists else None
        if label is not None and label in seen:
            where = f"tools[{entry.index}].server_label"
            raise InvalidRequest(f"{where}: another tool has the label {label} too.", param=where)
        seen.add(label)


def _asks_for_approvals(spec: Json) -> bool:
    """Return whether the entry only makes the Agents SDK answer the approval requests of this server."""
    return spec["type"] == "mcp" and spec.get("server_label") == SERVER_LABEL


def environment_of(entries: Sequence[ToolEntry]) -> Environment | None:
    """Return where the turn's calls run; None if no tool needs a container or runs at the client.

    An entry that names a container has priority, then one with parameters, then any other container, then
    one at the client. Raises `InvalidRequest` if two entries ask for different containers: a turn has one.
    """
    found = [entry.environment for entry in entries if entry.environment is not None]
    _check_same([each for each in found if each.kind == "reference"])
    _check_same([each for each in found if each.kind == "auto" and _settings(each)])
    for wanted in (
        [each for each in found if each.kind == "reference"],
        [each for each in found if each.kind == "auto" and _settings(each)],
        [each for each in found if each.kind == "auto" and each.params is not None],
        [each for each in found if each.kind == "auto"],
        found,
    ):
        if wanted:
            return wanted[0]
    return None


def _settings(environment: Environment) -> Json:
    """Return what an environment says about its container, apart from its type."""
    given = {"container_id": environment.container_id, **(environment.params or {})}
    return {name: value for name, value in given.items() if name != "type" and value not in (None, [], {})}


def _check_same(environments: Sequence[Environment]) -> None:
    for each in environments[1:]:
        if _settings(each) != _settings(environments[0]):
            raise InvalidRequest(
                f"{each.where} and {environments[0].where} ask for different containers.",
                hint="All tools of a turn use one container: give both the same, or only one of them.",
                param=each.where,
            )


def check_choice(choice: object, entries: Sequence[ToolEntry]) -> None:
    """Check that `tool_choice` can be obeyed with the tools of the request. Raises `InvalidRequest`."""
    if choice == "required" and not entries:
        raise InvalidRequest("tool_choice is required, but the request offers no tools.", param="tool_choice")
    if choice is None or choice in _WORDS:
        return
    wanted = choice if isinstance(choice, Mapping) else {"type": choice}
    if wanted.get("type") == "allowed_tools":
        allowed = wanted.get("tools")
        if not isinstance(allowed, list) or not allowed:
            raise InvalidRequest("tool_choice.tools must list the allowed tools.", param="tool_choice")
        for each in allowed:
            check_choice(each, entries)
        return
    kind, name = wanted.get("type"), wanted.get("name")
    if any(_is_wanted(wanted, entry) for entry in entries):
        return
    what = f"the function {name!r}" if kind == "function" else f"the tool {kind!r}"
    if isinstance(kind, str) and catalogue().get(kind) is None:
        raise InvalidRequest(
            f"tool_choice asks for {what}, which this server does not have.",
            hint=f"Available tools: {', '.join(catalogue().types)}.",
            param="tool_choice",
        )
    raise InvalidRequest(f"tool_choice asks for {what}, but it is not among the tools.", param="tool_choice")


_OLDER = {"computer_use": "computer"}
"""Older names of tools in `tool_choice`."""


def _is_wanted(wanted: Json, entry: ToolEntry) -> bool:
    kind = wanted.get("type")
    older = _OLDER.get(kind) if isinstance(kind, str) else None
    if (older or kind) not in (entry.tool.type, *entry.tool.aliases):
        return False
    if entry.lists:  # its functions are known later
        return bool(entry.spec.get("server_label") == wanted.get("server_label"))
    return not entry.tool.repeated or bool(entry.spec.get("name") == wanted.get("name"))
