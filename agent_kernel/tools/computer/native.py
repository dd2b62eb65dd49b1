"""The actions of Anthropic's computer tools, and ours in their form.

Those tools have one action a call: `{"action": "left_click", "coordinate": [x, y]}`, or a function of a
toolset with the action's name. Fields: `anthropic.types.computer_member_input`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent_kernel.tools.computer.inside.pointer import NOTCH
from agent_kernel.tools.live import malformed_call

Json = Mapping[str, Any]

_CLICKS = {"left_click": "left", "right_click": "right", "middle_click": "wheel"}
_BUTTONS = {button: name for name, button in _CLICKS.items()}
_WAYS = {"up": (0, -1), "down": (0, 1), "left": (-1, 0), "right": (1, 0)}
_MOST_REPEATS = 50
UNAVAILABLE = ("left_mouse_down", "left_mouse_up", "zoom", "cursor_position")
"""Actions that a desktop here does not have: nothing stays pressed from call to call."""


def native_actions(tool: str, value: Json, sent: str) -> list[dict[str, Any]]:
    """Return one action of Anthropic's tool as actions of the API. Raises `MalformedCall`.

    What the fields hold is checked by `read_actions`.
    """
    name, text = str(value["action"]), value.get("text")
    keys = {"keys": [text]} if isinstance(text, str) and text else {}
    if name in _CLICKS:
        return [{"type": "click", "button": _CLICKS[name], **_place(value.get("coordinate")), **keys}]
    if name in ("double_click", "triple_click"):
        three = {"agent_kernel": {"clicks": 3}} if name == "triple_click" else {}
        return [{"type": "double_click", **_place(value.get("coordinate")), **keys, **three}]
    match name:
        case "mouse_move":
            return [{"type": "move", **_place(value.get("coordinate"))}]
        case "left_click_drag":
            path = [_place(value.get("start_coordinate")), _place(value.get("coordinate"))]
            return [{"type": "drag", "path": path, **keys}]
        case "key":
            repeat = value.get("repeat")
            times = min(repeat, _MOST_REPEATS) if isinstance(repeat, int) and repeat > 0 else 1
            return [{"type": "keypress", "keys": [text]}] * times
        case "hold_key":
            held = {"seconds": value.get("duration") or 1}
            return [{"type": "keypress", "keys": [text], "agent_kernel": held}]
        case "scroll":
            x, y = _WAYS.get(str(value.get("scroll_direction")), (0, 0))
            amount = value.get("scroll_amount")
            pixels = NOTCH * amount if isinstance(amount, int) else NOTCH
            amounts = {"scroll_x": x * pixels, "scroll_y": y * pixels}
            return [{"type": "scroll", **_place(value.get("coordinate")), **amounts, **keys}]
        case "type" | "wait" | "screenshot":
            return [{"type": name, **({"text": text} if name == "type" else {})}]
    why = f"it cannot {name[:40]}; use left_click_drag to drag, and screenshot to look"
    raise malformed_call(tool, why, sent)


def as_native(action: Json) -> dict[str, Any] | None:
    """Return an action in the form of Anthropic's tool, with its name as `action`; None: it has no form."""
    place = {"coordinate": [action.get("x"), action.get("y")]}
    text = {"text": "+".join(action["keys"])} if action.get("keys") else {}
    ours = action.get("agent_kernel") or {}
    match action.get("type"):
        case "click" if action.get("button") in _BUTTONS:
            return {"action": _BUTTONS[action["button"]], **place, **text}
        case "double_click":
            return {"action": "triple_click" if ours.get("clicks") else "double_click", **place, **text}
        case "drag":
            ends = [[each.get("x"), each.get("y")] for each in (action["path"][0], action["path"][-1])]
            return {"action": "left_click_drag", "start_coordinate": ends[0], "coordinate": ends[1], **text}
        case "keypress":
            seconds = ours.get("seconds")
            return (
                {"action": "hold_key", **text, "duration": seconds} if seconds else {"action": "key", **text}
            )
        case "scroll":
            return {"action": "scroll", **place, **_way(action), **text}
    simple: Mapping[Any, dict[str, Any]] = {
        "move": {"action": "mouse_move", **place},
        "type": {"action": "type", "text": action.get("text")},
        "wait": {"action": "wait", "duration": 1},
        "screenshot": {"action": "screenshot"},
    }
    return simple.get(action.get("type"))


def _way(action: Json) -> dict[str, Any]:
    x, y = action.get("scroll_x") or 0, action.get("scroll_y") or 0
    amount, less, more = (x, "left", "right") if abs(x) > abs(y) else (y, "up", "down")
    return {
        "scroll_direction": more if amount >= 0 else less,
        "scroll_amount": max(1, round(abs(amount) / NOTCH)),
    }


def _place(given: object) -> dict[str, Any]:
    if isinstance(given, list) and len(given) == 2:
        return {"x": given[0], "y": given[1]}
    return {"x": None, "y": None}
