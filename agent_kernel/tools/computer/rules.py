"""Rules: places on the screen that an action may touch only once a person has allowed it.

The driver looks before each action and stops at such a place. Its item then names the place, and the next
call that would touch it asks for an approval; once given, it holds for this place alone. The rules are about
pages in the browser, as far as their elements tell: a page can draw what no element says. They come in
addition to policies and to the container's network policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.desktop.items import RULES, actions_of
from agent_kernel.protocol.validation import shortened

Json = Mapping[str, Any]

AGAIN = "If the user wants it, call it again alone: then a person is asked."
_LONGEST = 60


def read_rules(given: object, where: str) -> tuple[str, ...]:
    """Read the rules in a request; None means all. Raises `InvalidRequest`."""
    if given is None:
        return tuple(RULES)
    if not isinstance(given, list) or not all(isinstance(each, str) and each in RULES for each in given):
        raise InvalidRequest(
            f"{where} must be a list of {', '.join(RULES)}, not {shortened(given)}.", param=where
        )
    return tuple(given)


def read_risk(given: object) -> dict[str, Any] | None:
    """Read the place that a driver stopped at: a claim, so bounded. None: it has another form."""
    if not isinstance(given, Mapping) or given.get("kind") not in RULES:
        return None
    texts = {name: str(given.get(name) or "")[:_LONGEST] for name in ("label", "host")}
    box = given.get("box")
    is_box = isinstance(box, list) and len(box) == 4 and all(type(each) is int for each in box)
    return {"kind": given["kind"], **texts, **({"box": box} if is_box else {})}


def in_words(risk: Json) -> str:
    """Return why a place stops an action, as a sentence. What the page says is quoted."""
    label = f" (“{' '.join(str(risk['label']).split())}”)" if risk.get("label") else ""
    return f"{RULES[str(risk['kind'])]}{label}, on {risk.get('host') or 'a page'}."


def risk_of(call: Json, earlier: Sequence[Json], output_type: str) -> dict[str, Any] | None:
    """Return the place that a call is about which the last one stopped at, None if there is none."""
    last = next((item for item in reversed(earlier) if item.get("type") == output_type), None)
    output = last.get("output") if last is not None else None
    ours = output.get("agent_kernel") if isinstance(output, Mapping) else None
    risk = read_risk(ours.get("risk")) if isinstance(ours, Mapping) else None
    return risk if risk is not None and any(_touches(each, risk) for each in actions_of(call)) else None


def _touches(action: Json, risk: Json) -> bool:
    box = risk.get("box")
    if box is None:
        return action.get("type") in ("type", "keypress")
    place = action["path"][-1] if action.get("type") == "drag" else action
    x, y = place.get("x"), place.get("y")
    if not isinstance(x, int) or not isinstance(y, int):
        return False
    left, top, right, bottom = box
    return bool(left <= x < right and top <= y < bottom)
