"""Questions of MCP servers, which they ask the user while a call runs (elicitation).

A question for values is one line per value, `name: value`, so that every `Asker` can show and change them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent_kernel.kernel.asking.types import ApprovalRequest, Decision

Json = Mapping[str, Any]

_YES, _NO = ("true", "yes", "y", "1"), ("false", "no", "n", "0")


def read_elicitation(item: Json) -> ApprovalRequest | None:
    """Return the question in an item, None if it cannot be read."""
    from agent_kernel.kernel.render.approval import arguments_of

    asked = arguments_of(item)
    label, message = asked.get("server_label"), asked.get("message")
    if not isinstance(label, str) or not isinstance(message, str):
        return None
    if isinstance(asked.get("url"), str):
        lines: tuple[str, ...] = (asked["url"],)
    else:
        lines = tuple(f"{name}: {_default(schema)}" for name, schema in _properties(asked).items())
    words = [f"The MCP server {label} asks: {message}", *_explained(asked)]
    return ApprovalRequest(
        str(item["id"]), lines, "\n".join(words), editable="url" not in asked, about="elicitation"
    )


def elicitation_answer(item: Json, decision: Decision) -> dict[str, Any]:
    """Return the `mcp_approval_response` for a decision."""
    from agent_kernel.kernel.render.approval import arguments_of

    answer: dict[str, Any] = {
        "type": "mcp_approval_response",
        "approval_request_id": str(item["id"]),
        "approve": decision.approve,
    }
    asked = arguments_of(item)
    if decision.approve and "url" not in asked:
        request = read_elicitation(item)
        lines = decision.commands or (request.commands if request is not None else ())
        answer["agent_kernel"] = {"content": dict(_values(lines, asked))}
    return answer


def _values(lines: Sequence[str], asked: Json) -> Iterator[tuple[str, Any]]:
    """Yield the values in the lines. One that has another type than was asked for stays text.

    The runtime refuses it and says what it must be. An empty line is a value that is not given.
    """
    needed = asked["schema"].get("required")
    properties = _properties(asked)
    for (name, schema), line in zip(properties.items(), lines, strict=False):
        text = line.removeprefix(f"{name}:").strip()
        if text or (schema.get("type") == "string" and isinstance(needed, list) and name in needed):
            yield name, _value(text, schema)


def _value(text: str, schema: Json) -> Any:
    kind = schema.get("type")
    try:
        if kind == "integer":
            return int(text)
        if kind == "number":
            return float(text)
    except ValueError:
        return text
    if kind == "boolean":
        return True if text.lower() in _YES else False if text.lower() in _NO else text
    if kind == "array":
        return [each.strip() for each in text.split(",") if each.strip()]
    return text


def _properties(asked: Json) -> dict[str, Json]:
    schema = asked.get("schema")
    found = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(found, Mapping):
        return {}
    return {str(name): each for name, each in found.items() if isinstance(each, Mapping)}


def _default(schema: Json) -> str:
    value = schema.get("default")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else " ".join(str(value).split())


def _choices(schema: Json) -> list[str]:
    """Return the values to choose from, with their titles: there are several ways to write them."""
    items = schema.get("items")
    inner = items if isinstance(items, Mapping) else schema
    if isinstance(inner.get("enum"), list):
        return [str(each) for each in inner["enum"]]
    titled = inner.get("oneOf") or inner.get("anyOf")
    each_titled = (
        [each for each in titled or () if isinstance(each, Mapping)] if isinstance(titled, list) else []
    )
    return [f"{each.get('const')} ({each.get('title')})" for each in each_titled]


def _explained(asked: Json) -> Iterator[str]:
    schema = asked.get("schema")
    needed = schema.get("required") if isinstance(schema, Mapping) else None
    for name, each in _properties(asked).items():
        words = [str(each.get("type"))]
        if not isinstance(needed, list) or name not in needed:
            words.append("optional")
        if choices := _choices(each):
            words.append(f"one of {', '.join(choices)}")
        said = each.get("description") or each.get("title")
        yield f"{name}: {', '.join(words)}{f'. {said}' if said else ''}"
