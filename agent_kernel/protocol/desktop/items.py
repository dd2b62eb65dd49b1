"""The words of the items of the tool `computer`: their actions, what was said, the screenshot, the rules."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]

CALL = "computer_call"
OUTPUT = "computer_call_output"
_LONGEST_WORDS = 60

RULES: Mapping[str, str] = {
    "form": "it would send a form",
    "credentials": "it is about a password or a code",
    "payment": "it is about a payment",
    "download": "it would download a file",
    "domain": "it would open another site",
}
"""The kinds of places, with the words for them."""


def actions_of(call: Json) -> list[Json]:
    """Return the actions of a call item, also of one in the older form."""
    given = call.get("actions") or ([call["action"]] if isinstance(call.get("action"), Mapping) else [])
    return [each for each in given if isinstance(each, Mapping)]


def in_words(action: Json) -> str:
    """Return an action as a line: its type, then what it acts on. Policies and captions use it."""
    match action.get("type"):
        case "click":
            words = f"click {action.get('button')} {action.get('x')} {action.get('y')}"
        case "drag":
            path: Sequence[Json] = action.get("path") or [{}]
            ends = " to ".join(f"{each.get('x')} {each.get('y')}" for each in (path[0], path[-1]))
            words = f"drag {ends}"
        case "keypress":
            return f"keypress {'+'.join(map(str, action.get('keys') or ()))}"
        case "type":
            return f"type {action.get('text')}"
        case "scroll":
            by = f"{action.get('scroll_x') or 0} {action.get('scroll_y') or 0}"
            words = f"scroll {action.get('x')} {action.get('y')} by {by}"
        case "double_click" | "move":
            words = f"{action['type']} {action.get('x')} {action.get('y')}"
        case other:
            return str(other)
    keys = action.get("keys")
    return f"{words} with {'+'.join(map(str, keys))}" if keys else words


def shown(action: Json) -> str:
    """Return an action as a short line, its text quoted."""
    words = in_words(action)
    if action.get("type") == "type":
        words = f"type {json.dumps(action.get('text'), ensure_ascii=False)}"
    return words if len(words) <= _LONGEST_WORDS else words[: _LONGEST_WORDS - 1] + "…"


def said_in(output: Json) -> list[str]:
    """Return the sentences in an output item."""
    inner = output.get("output")
    ours = inner.get("agent_kernel") if isinstance(inner, Mapping) else None
    said = ours.get("said") if isinstance(ours, Mapping) else None
    return [str(each) for each in said] if isinstance(said, list) else []


def picture_of(output: Json) -> str | None:
    """Return the address of an output item's screenshot, None if it has none."""
    inner = output.get("output")
    url = inner.get("image_url") if isinstance(inner, Mapping) else None
    return url if isinstance(url, str) and url else None


def as_typed(output: Json) -> Json:
    """Return an output item of a client with its screenshot named as the API's types do.

    LangChain names it `input_image`, which the API takes, too.
    """
    inner = output.get("output")
    if not isinstance(inner, Mapping) or inner.get("type") != "input_image":
        return output
    return {**output, "output": {**inner, "type": "computer_screenshot"}}
