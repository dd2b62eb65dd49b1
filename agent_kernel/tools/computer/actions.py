"""Actions of the Responses API's tool `computer`, read from what models write."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from agent_kernel.protocol.desktop.items import actions_of

Json = Mapping[str, Any]

KINDS = (
    "click",
    "double_click",
    "drag",
    "keypress",
    "move",
    "screenshot",
    "scroll",
    "type",
    "wait",
)
LOOKING = ("move", "screenshot", "scroll", "wait")
"""Actions that change nothing but what the screen shows."""
MOST = 100
"""Actions of one call."""
BUTTONS = ("left", "right", "wheel", "back", "forward")
_LONGEST_TEXT, _LONGEST_KEY, _MOST_KEYS, _MOST_PLACES = 10_000, 40, 12, 500
_FARTHEST = 100_000
MOST_CLICKS, MOST_SECONDS = 3, 30


class UnreadableAction(Exception):
    """An action that cannot be carried out. The text says why, as the end of a sentence."""


def read_actions(given: object) -> list[dict[str, Any]]:
    """Return the actions of a call in the API's shapes. Raises `UnreadableAction`.

    Unknown fields are dropped. `agent_kernel` in an action has what the API has no word for: `clicks` of a
    double click that is a triple one, and the `seconds` for which keys are held.
    """
    if not isinstance(given, list) or not given:
        raise UnreadableAction("it needs a list called actions")
    if len(given) > MOST:
        raise UnreadableAction(f"it has more than {MOST} actions")
    return [_read(each, number) for number, each in enumerate(given)]


def _read(given: object, number: int) -> dict[str, Any]:
    kind = given.get("type") if isinstance(given, Mapping) else None
    if not isinstance(given, Mapping) or kind not in KINDS:
        raise UnreadableAction(f"the type of action {number} must be one of {', '.join(KINDS)}")
    try:
        fields = _SHAPES[str(kind)](given)
        keys = {"keys": _keys(given["keys"])} if given.get("keys") and kind in _WITH_KEYS else {}
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        why = str(error) if type(error) is ValueError else f"{kind} lacks a field, or it has another type"
        raise UnreadableAction(f"action {number}: {why}") from None
    return {"type": kind, **fields, **keys}


def _click(given: Json) -> dict[str, Any]:
    button = given.get("button") or "left"
    if button not in BUTTONS:
        raise ValueError(f"button must be one of {', '.join(BUTTONS)}")
    return {"button": button, **_place(given)}


def _double_click(given: Json) -> dict[str, Any]:
    ours = given.get("agent_kernel")
    three = isinstance(ours, Mapping) and ours.get("clicks") == MOST_CLICKS
    return {**_place(given), **({"agent_kernel": {"clicks": MOST_CLICKS}} if three else {})}


def _drag(given: Json) -> dict[str, Any]:
    path = given.get("path")
    if not isinstance(path, list) or not 2 <= len(path) <= _MOST_PLACES:
        raise ValueError(f"path must have 2 to {_MOST_PLACES} places")
    return {"path": [_place(_point(each)) for each in path]}


def _point(given: object) -> Json:
    if isinstance(given, list) and len(given) == 2:
        return {"x": given[0], "y": given[1]}
    if not isinstance(given, Mapping):
        raise ValueError("each place of a path needs x and y")
    return given


def _keypress(given: Json) -> dict[str, Any]:
    ours = given.get("agent_kernel")
    seconds = ours.get("seconds") if isinstance(ours, Mapping) else None
    held = {"agent_kernel": {"seconds": min(_number(seconds), MOST_SECONDS)}} if seconds is not None else {}
    return {"keys": _keys(given.get("keys")), **held}


def _scroll(given: Json) -> dict[str, Any]:
    amounts = {name: _number(given.get(name) or 0) for name in ("scroll_x", "scroll_y")}
    return {**_place(given), **amounts}


def _type(given: Json) -> dict[str, Any]:
    text = given.get("text")
    if not isinstance(text, str) or len(text) > _LONGEST_TEXT:
        raise ValueError(f"text must be a string of at most {_LONGEST_TEXT} characters")
    return {"text": text}


def _keys(given: object) -> list[str]:
    keys = [given] if isinstance(given, str) else given
    if not isinstance(keys, list) or not 0 < len(keys) <= _MOST_KEYS:
        raise ValueError(f"keys must be 1 to {_MOST_KEYS} names of keys")
    if not all(isinstance(each, str) and 0 < len(each) <= _LONGEST_KEY for each in keys):
        raise ValueError("each key must be a name")
    return list(keys)


def _place(given: Json) -> dict[str, int]:
    if given.get("x") is None or given.get("y") is None:
        raise ValueError("it needs x and y")
    return {"x": _number(given["x"]), "y": _number(given["y"])}


def _number(given: object) -> int:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise ValueError("places and amounts must be numbers")
    if abs(given) > _FARTHEST:
        raise ValueError("a place or an amount is too large")
    return round(given)


def _nothing(given: Json) -> dict[str, Any]:
    return {}


_WITH_KEYS = ("click", "double_click", "drag", "move", "scroll")
_SHAPES: Mapping[str, Callable[[Json], dict[str, Any]]] = {
    "click": _click,
    "double_click": _double_click,
    "drag": _drag,
    "keypress": _keypress,
    "move": _place,
    "screenshot": _nothing,
    "scroll": _scroll,
    "type": _type,
    "wait": _nothing,
}


def plain(action: Json) -> dict[str, Any]:
    """Return an action as the API has it: without our field and nulls."""
    return {name: value for name, value in action.items() if name != "agent_kernel" and value is not None}


def only_looks(call: Json) -> bool:
    """Return whether a call changes nothing but what the screen shows."""
    return all(each.get("type") in LOOKING for each in actions_of(call))
