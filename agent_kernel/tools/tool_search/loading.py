"""Which tools of a turn wait to be found, which were found, and what an item shows of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from agent_kernel.tools.base import Namespace, ToolEntry
from agent_kernel.tools.tool_search.ranking import ranked

Json = Mapping[str, Any]

TYPE = "tool_search"
OUTPUT = "tool_search_output"
MOST_FOUND = 10
"""Tools that one query finds."""
MOST_LOADED = 100
"""Tools that one call loads by their paths."""
MOST_LISTED = 200
"""Paths that the description of the search lists for the model."""


def path_of(entry: ToolEntry) -> tuple[str | None, str]:
    """Return the namespace of a function, None if it has none, and its own name."""
    group = entry.namespace
    return (None, str(entry.spec.get("name"))) if group is None else (group.name, group.function)


def searches(entries: Sequence[ToolEntry]) -> bool:
    """Return whether the request has a tool search. Without one `defer_loading` has no effect."""
    return any(entry.tool.type == TYPE for entry in entries)


def waiting(entries: Sequence[ToolEntry]) -> list[ToolEntry]:
    """Return the tools that can be searched for."""
    return [entry for entry in entries if entry.deferred and not entry.lists]


def visible(entries: Sequence[ToolEntry], items: Sequence[Json], choice: Any = None) -> list[ToolEntry]:
    """Return the tools that a model gets now: those that need no search, and those that it has found.

    A found function without a namespace is called with its own name as one, as in OpenAI's API. One that
    `tool_choice` names needs no search.
    """
    if not searches(entries):
        return [_plain(entry) for entry in entries]
    found = {path for item in items if item.get("type") == OUTPUT for path in _paths_in(item)}
    named = choice.get("name") if isinstance(choice, Mapping) else None
    shown: list[ToolEntry] = []
    for entry in entries:
        if not entry.deferred or entry.lists:
            shown.append(_plain(entry))
        elif path_of(entry) in found:
            shown.append(_alone(_plain(entry)))
        elif named is not None and entry.spec.get("name") == named:
            shown.append(_plain(entry))
    return shown


def _plain(entry: ToolEntry) -> ToolEntry:
    if "defer_loading" not in entry.spec or entry.lists:
        return entry
    return replace(entry, spec={name: it for name, it in entry.spec.items() if name != "defer_loading"})


def _alone(entry: ToolEntry) -> ToolEntry:
    if entry.namespace is not None:
        return entry
    name = str(entry.spec["name"])
    return replace(entry, namespace=Namespace(entry.spec, name, name))


def _paths_in(item: Json) -> Iterator[tuple[str | None, str]]:
    tools = item.get("tools")
    for spec in tools if isinstance(tools, list) else ():
        if not isinstance(spec, Mapping):
            continue
        inner = spec.get("tools")
        if spec.get("type") != "namespace":
            yield None, str(spec.get("name"))
            continue
        for each in inner if isinstance(inner, list) else ():
            if isinstance(each, Mapping):
                yield str(spec.get("name")), str(each.get("name"))


def find(arguments: Json, entries: Sequence[ToolEntry]) -> list[ToolEntry]:
    """Return the tools that a call asks for: by `paths`, which are names, and by the words of `query`."""
    given = arguments.get("paths")
    paths = {each for each in given if isinstance(each, str)} if isinstance(given, list) else set()
    named = [entry for entry in entries if not paths.isdisjoint(_names(entry))][:MOST_LOADED]
    query = arguments.get("query")
    if not isinstance(query, str):
        return named
    about = [(" ".join(filter(None, path_of(each))), _said(each)) for each in entries]
    best = [entries[place] for place in ranked(query, about, MOST_FOUND)]
    return [*named, *(entry for entry in best if entry not in named)]


def _names(entry: ToolEntry) -> set[str]:
    group, name = path_of(entry)
    return {name} if group is None else {group, f"{group}.{name}", str(entry.spec.get("name"))}


def _said(entry: ToolEntry) -> str:
    own = str(entry.spec.get("description") or "")
    return own if entry.namespace is None else f"{own} {entry.namespace.spec.get('description') or ''}"


def definitions(found: Sequence[ToolEntry]) -> list[dict[str, Any]]:
    """Return the found tools as an item shows them: functions, in their namespaces."""
    made: list[dict[str, Any]] = []
    groups: dict[str, dict[str, Any]] = {}
    for entry in found:
        group, name = path_of(entry)
        spec = {**_plain(entry).spec, "name": name, "defer_loading": True}
        if group is None:
            made.append(spec)
            continue
        if group not in groups:
            about = entry.namespace.spec.get("description") if entry.namespace is not None else None
            words = str(about or f"Tools of {group}.")
            groups[group] = {"type": "namespace", "name": group, "description": words, "tools": []}
            made.append(groups[group])
        groups[group]["tools"].append(spec)
    return made


def listed(entries: Sequence[ToolEntry]) -> str:
    """Return what can be searched for, as lines for the model: namespaces, and functions without one."""
    counted: dict[str, int] = {}
    for entry in entries:
        group, name = path_of(entry)
        counted[group or name] = counted.get(group or name, 0) + 1
    lines = [f"- {name}{f' ({count} tools)' if count > 1 else ''}" for name, count in counted.items()]
    more = [f"- and {len(lines) - MOST_LISTED} more"] if len(lines) > MOST_LISTED else []
    return "\n".join([*lines[:MOST_LISTED], *more])
