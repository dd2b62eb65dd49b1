"""Reads values that servers send in a form other than the API's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from agent_kernel.models.reading.log_probabilities import logprobs_of
from agent_kernel.models.reading.whole_body import Lenient, wrapped
from agent_kernel.protocol.deltas import RefusalDelta, TextDelta

_MOST = 10**15


def tokens(value: object) -> int:
    """Return a number of tokens, or 0 if the value is not one."""
    if isinstance(value, str) and value.isdecimal() and len(value) < len(str(_MOST)):
        return int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MOST:
        return int(value)
    return 0


def parts_of(content: object) -> Iterator[Any]:
    """Yield the parts of a message's content, which may also be a string, and may have gaps."""
    if isinstance(content, str):
        content = [content]
    for part in content if isinstance(content, list | tuple) else ():
        if isinstance(part, str):
            yield SimpleNamespace(type="output_text", text=part)
        elif part is not None:
            yield part


def typed(items: object) -> list[Any]:
    """Return the items that have a type; others cannot be read."""
    given = items if isinstance(items, list | tuple) else ()
    return [item for item in given if isinstance(getattr(item, "type", None), str)]


def native_text(item: Any) -> str:
    """Return what a native call does, without its ids."""
    fields = item.to_dict(mode="json", warnings=False)
    return json.dumps({name: fields[name] for name in sorted(fields) if name not in _OF_THIS_COPY})


_OF_THIS_COPY = ("id", "call_id", "status")


def said_in(part: Any) -> TextDelta | RefusalDelta:
    """Return the delta for a part of a message."""
    if getattr(part, "type", None) == "refusal":
        return RefusalDelta(getattr(part, "refusal", None) or "")
    return TextDelta(getattr(part, "text", None) or "", logprobs_of(getattr(part, "logprobs", None)))


def response_of(event: Any) -> Any:
    """Return the response in a closing event; an empty one if there is none."""
    # The package leaves the fields of events that it does not know as they are.
    return wrapped(getattr(event, "response", None)) or Lenient({})


_TIER = re.compile("[a-z][a-z_]{0,31}")


def tier_of(value: object) -> str | None:
    """Return a `service_tier`, None if the value is not one."""
    return value if isinstance(value, str) and _TIER.fullmatch(value) else None


def drawn_of(tool_usage: Any) -> dict[str, Any] | None:
    """Return what an upstream's `tool_usage` says of pictures, None if it says nothing."""
    given = getattr(tool_usage, "image_gen", None)
    if not isinstance(given, dict):
        return None
    found: dict[str, Any] = {name: tokens(given.get(name)) for name in _IN_ALL}
    for name in ("input_tokens_details", "output_tokens_details"):
        details = given.get(name)
        if isinstance(details, dict):
            found[name] = {kind: tokens(details.get(kind)) for kind in ("image_tokens", "text_tokens")}
    return found


_IN_ALL = ("input_tokens", "output_tokens", "total_tokens")


def searches_of(tool_usage: Any) -> int | None:
    """Return how many searches an upstream's `tool_usage` counts, None if it does not."""
    given = getattr(tool_usage, "web_search", None)
    return tokens(given.get("num_requests")) if isinstance(given, dict) else None


def detail(details: Any, name: str) -> int:
    """Return a number in the details of a usage."""
    return tokens(getattr(details, name, None))
