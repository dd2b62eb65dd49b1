"""Namespaces in a request's `tools`: named groups of the client's functions.

Few upstreams know namespaces, so models get each function under a flat name, `crm__find` for `find` of `crm`.
Their calls come back with the function's own name and its `namespace`, as the API has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.tools.base import Namespace, Tool, ToolEntry
from agent_kernel.tools.client import CLIENT_FUNCTION
from agent_kernel.tools.coverage import unserved_tool
from agent_kernel.tools.custom import CUSTOM

Json = Mapping[str, Any]

TYPE = "namespace"
_TOOLS: Mapping[str, Tool] = {tool.type: tool for tool in (CLIENT_FUNCTION, CUSTOM)}
"""What a namespace may have."""
_LONGEST = 64
"""Characters of a function's name that upstreams accept."""
_DIGEST = 8
_INVALID = re.compile("[^a-zA-Z0-9_-]")


def flat_name(namespace: str, name: str) -> str:
    """Return the name under which models get a function of a namespace.

    One that is too long, or has characters that upstreams refuse, ends in a part of its hash.
    """
    whole = f"{namespace}{'' if namespace.endswith('__') else '__'}{name}"
    flat = _INVALID.sub("_", whole)
    if flat == whole and len(flat) <= _LONGEST:
        return flat
    return _with_digest(flat, namespace, name)


def _with_digest(flat: str, namespace: str, name: str) -> str:
    digest = sha256(f"{namespace}\n{name}".encode()).hexdigest()[:_DIGEST]
    return f"{flat[: _LONGEST - _DIGEST - 1]}_{digest}"


def free_name(namespace: str, name: str, taken: set[str]) -> str:
    """Return the flat name, with a part of its hash if it is `taken`, and add it there."""
    flat = flat_name(namespace, name)
    if flat in taken:
        flat = _with_digest(flat, namespace, name)
    taken.add(flat)
    return flat


def distinct(entries: Sequence[ToolEntry]) -> list[ToolEntry]:
    """Return the entries with a flat name of its own for each function of a namespace."""
    alone = [entry for entry in entries if entry.tool.repeated and entry.namespace is None]
    taken = {str(entry.spec.get("name")) for entry in alone}
    return [_renamed(entry, taken) for entry in entries]


def _renamed(entry: ToolEntry, taken: set[str]) -> ToolEntry:
    group = entry.namespace
    if group is None:
        return entry
    name = free_name(group.name, group.function, taken)
    return entry if name == entry.spec["name"] else replace(entry, spec={**entry.spec, "name": name})


def functions_in(spec: Json, where: str) -> list[tuple[int, Json]]:
    """Return the functions of a namespace, each with its place among the tools. Raises `InvalidRequest`."""
    tools = spec.get("tools")
    found: list[tuple[int, Json]] = []
    for place, each in enumerate(tools if isinstance(tools, list | tuple) else ()):
        kind = each.get("type") if isinstance(each, Mapping) else None
        if kind not in _TOOLS:
            raise unserved_tool(str(kind), f"{where}.tools[{place}]", f"in a namespace, {', '.join(_TOOLS)}")
        found.append((place, each))
    return found


def read_namespace(spec: Json, index: int) -> Iterator[ToolEntry]:
    """Yield an entry for each function of `tools[index]`. Raises `InvalidRequest`, also for other tools."""
    functions, name = functions_in(spec, f"tools[{index}]"), spec.get("name")
    if functions and (not isinstance(name, str) or not name):
        raise InvalidRequest(f"tools[{index}].name is missing.", param=f"tools[{index}].name")
    served = {**spec, "tools": [function for _, function in functions]}
    for place, function in functions:
        own = function.get("name")
        if not isinstance(own, str) or not own:
            where = f"tools[{index}].tools[{place}].name"
            raise InvalidRequest(f"{where} is missing.", param=where)
        deferred = function.get("defer_loading") is True
        flat = {key: value for key, value in function.items() if key != "defer_loading"}
        flat["name"] = flat_name(str(name), own)
        group = Namespace(served, str(name), own)
        yield ToolEntry(_TOOLS[flat["type"]], index, flat, namespace=group, deferred=deferred)


def shown(entries: Sequence[ToolEntry], container_id: str | None) -> Iterator[dict[str, Any]]:
    """Yield the entries as a response shows them: a namespace once, with its functions."""
    groups: set[int] = set()
    for entry in entries:
        if entry.namespace is None:
            yield dict(entry.tool.shown(entry, container_id))
        elif entry.index not in groups:
            groups.add(entry.index)
            yield dict(entry.namespace.spec)


def flat_choice(choice: Any, entries: Sequence[ToolEntry]) -> Any:
    """Return `tool_choice` with the functions of namespaces under their flat names."""
    if not isinstance(choice, Mapping):
        return choice
    listed = choice.get("tools")
    if choice.get("type") == "allowed_tools" and isinstance(listed, list):
        return {**choice, "tools": [flat for each in listed for flat in _flat(each, entries)]}
    return next(_flat(choice, entries)) if choice.get("type") in _TOOLS else choice


def _flat(reference: Any, entries: Sequence[ToolEntry]) -> Iterator[Any]:
    lone = any(_is_lone(reference, entry) for entry in entries)
    found = [] if lone else [entry for entry in entries if _is_meant(reference, entry)]
    for entry in found:
        yield {"type": entry.tool.type, "name": entry.spec["name"]}
    if not found:
        yield reference


def _is_lone(reference: Any, entry: ToolEntry) -> bool:
    """Return whether a reference without a namespace names a function that is in none."""
    if entry.namespace is not None or not isinstance(reference, Mapping) or "namespace" in reference:
        return False
    name = reference.get("name")
    return name is not None and (entry.tool.type, entry.spec.get("name")) == (reference.get("type"), name)


def _is_meant(reference: Any, entry: ToolEntry) -> bool:
    group = entry.namespace
    if group is None or not isinstance(reference, Mapping):
        return False
    if reference.get("type") == TYPE:
        return bool(reference.get("name") == group.name)
    is_function = reference.get("type") == entry.tool.type and reference.get("name") == group.function
    return bool(is_function and reference.get("namespace", group.name) == group.name)


def flat_calls(items: Sequence[Json], entries: Sequence[ToolEntry]) -> Sequence[Json]:
    """Return the items with calls to offered functions of namespaces under their flat names."""
    groups = [(entry.namespace, entry) for entry in entries if entry.namespace is not None]
    known = {(group.name, group.function): str(entry.spec["name"]) for group, entry in groups}
    return [_flat_call(item, known) for item in items] if known else items


def _flat_call(item: Json, known: Mapping[tuple[Any, Any], str]) -> Json:
    if item.get("type") not in [tool.call_type for tool in _TOOLS.values()]:
        return item
    flat = known.get((item.get("namespace"), item.get("name")))
    if flat is None:
        return item
    return {**{name: value for name, value in item.items() if name != "namespace"}, "name": flat}
