"""Stored turns, checked: an import may have brought them from anywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.wellformed import well_formed
from agent_kernel.runtime.turns.input_items import read_items
from agent_kernel.store.records import ResponseRow
from agent_kernel.tools.code_interpreter.outputs import read_outputs

Json = Mapping[str, Any]

LONGEST = 1 << 20
"""Characters of one output of code."""

_FIELDS = {
    "instructions": str,
    "agent_kernel": Mapping,
    "max_output_tokens": int,
    "parallel_tool_calls": bool,
}
"""The fields of a request that are used, beside its tools."""


def checked(rows: Sequence[ResponseRow]) -> list[ResponseRow]:
    """Return the turns with items in the form of the API, and nothing else that has a wrong type.

    Raises `InvalidRequest` for a turn whose items cannot be used.
    """
    return [_checked(row) for row in rows]


def _checked(row: ResponseRow) -> ResponseRow:
    try:
        found = json.loads(json.dumps([[*row.input], row.response["output"], {**row.request}]))
        given, output, request = well_formed(found)
        given, output = ([_item(item) for item in read_items(each, "items")] for each in (given, output))
    except (InvalidRequest, KeyError, TypeError, ValueError, RecursionError) as error:
        why = error.message if isinstance(error, InvalidRequest) else "it has no items"
        raise InvalidRequest(f"The response {row.id} is damaged and cannot be read: {why}") from None
    return replace(row, request=_request(request), input=given, response=_response(row.response, output))


def _item(item: Json) -> Json:
    """Return an item whose field of ours, if it has one, has outputs of code in Jupyter's form at most."""
    if "agent_kernel" not in item:
        return item
    ours = item["agent_kernel"]
    kept = dict(ours) if isinstance(ours, Mapping) else {}
    if "outputs" in kept:
        kept["outputs"] = list(read_outputs(kept["outputs"], LONGEST))
    return {**item, "agent_kernel": kept}


def _request(found: Json) -> Json:
    tools = found.get("tools")
    listed = tools if isinstance(tools, list) else []
    specs = [spec for spec in listed if isinstance(spec, Mapping) and isinstance(spec.get("type"), str)]
    made = {"tools": [_tool(spec) for spec in specs]}
    kept = {name: found[name] for name, kind in _FIELDS.items() if isinstance(found.get(name), kind)}
    return {**made, **kept}


def _tool(spec: Json) -> Json:
    ours = spec.get("agent_kernel")
    return {name: value for name, value in spec.items() if value is not ours or isinstance(ours, Mapping)}


def _response(found: Json, output: Sequence[Json]) -> Json:
    names = ("usage", "incomplete_details", "error")
    objects = {name: found[name] for name in names if isinstance(found.get(name), Mapping)}
    tokens = objects.get("usage", {}).get("total_tokens")
    ended = found.get("completed_at")
    return {
        **objects,
        "usage": {"total_tokens": tokens if type(tokens) is int else 0},
        "output": output,
        "completed_at": ended if type(ended) in (int, float) else None,
    }
