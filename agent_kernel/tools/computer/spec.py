"""The entry of `computer` in a request's `tools`, and the tool as a function for models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.validation import shortened
from agent_kernel.tools.base import Environment
from agent_kernel.tools.computer.actions import KINDS, MOST
from agent_kernel.tools.computer.rules import read_rules
from agent_kernel.tools.computer.settings import DesktopSettings, read_display

Json = Mapping[str, Any]

PREVIEW = "computer_use_preview"

DESCRIPTION = (
    "Use a computer with a screen, a mouse and a keyboard. The actions of one call are carried out in order, "
    "and you get a picture of the screen after the last. Begin with a screenshot. Places are pixels from the "
    "screen's upper left corner. {}"
)
_DESKTOP = (
    "It is a Linux desktop of {} x {} pixels in this conversation's container, with a browser that is open; "
    "ctrl+l selects its address bar. Downloads are saved in /mnt/data."
)
_FIELDS = ("container", "display", "ask")


def description(spec: Json, *, by_client: bool) -> str:
    """Return what models read about the tool."""
    display = display_of(spec)
    where = "" if by_client else _DESKTOP.format(display.width, display.height)
    return DESCRIPTION.format(where).strip()


def parameters(spec: Json) -> Json:
    """Return the JSON schema of the function's arguments. The older form has one action a call."""
    number, place = {"type": "integer"}, {"x": {"type": "integer"}, "y": {"type": "integer"}}
    fields = {
        "type": {"type": "string", "enum": list(KINDS)},
        **place,
        "button": {
            "type": "string",
            "enum": ["left", "right", "wheel", "back", "forward"],
            "description": "Of click.",
        },
        "keys": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Pressed together by keypress, such as ctrl and c. Other actions hold them.",
        },
        "text": {"type": "string", "description": "What type types."},
        "scroll_x": {**number, "description": "Pixels to the right."},
        "scroll_y": {**number, "description": "Pixels down."},
        "path": {
            "type": "array",
            "items": {"type": "object", "properties": place, "required": ["x", "y"]},
            "description": "The places of drag, from the first to the last.",
        },
    }
    action = {"type": "object", "properties": fields, "required": ["type"]}
    most = 1 if spec.get("type") == PREVIEW else MOST
    return {
        "type": "object",
        "properties": {"actions": {"type": "array", "items": action, "minItems": 1, "maxItems": most}},
        "required": ["actions"],
        "additionalProperties": False,
    }


def environment_of(spec: Json, index: int) -> Environment:
    """Return where entry number `index` of `tools` acts. Raises `InvalidRequest`.

    At the client, as in the API, unless `agent_kernel.container` names a container.
    """
    where = f"tools[{index}].agent_kernel"
    ours = spec.get("agent_kernel")
    if spec.get("type") == PREVIEW:
        _check_preview(spec, index)
    if ours is None:
        return Environment("local", index, field="type")
    if not isinstance(ours, Mapping) or "container" not in ours:
        raise InvalidRequest(
            f"{where} must be an object with container, not {shortened(ours)}.",
            hint="For example: {'container': 'auto'}.",
            param=where,
        )
    if unknown := sorted(map(str, set(ours) - set(_FIELDS))):
        raise InvalidRequest(
            f"Unknown field {where}.{shortened(unknown[0])}.",
            hint="The fields of computer are container, display and ask.",
            param=where,
            code="unknown_parameter",
        )
    display_of(spec, where)
    rules_of(spec, where)
    return _container(ours["container"], index)


def display_of(spec: Json, where: str = "agent_kernel") -> DesktopSettings:
    """Return the settings of an entry's desktop. Raises `InvalidRequest` below `where`."""
    ours = spec.get("agent_kernel")
    given = ours.get("display") if isinstance(ours, Mapping) else None
    if given is None and spec.get("type") == PREVIEW:
        given = {"width": spec.get("display_width"), "height": spec.get("display_height")}
    return read_display(given, f"{where}.display")


def rules_of(spec: Json, where: str = "agent_kernel") -> tuple[str, ...]:
    """Return the rules of an entry. Raises `InvalidRequest` below `where`."""
    ours = spec.get("agent_kernel")
    return read_rules(ours.get("ask") if isinstance(ours, Mapping) else None, f"{where}.ask")


def with_container(spec: Json, container_id: str) -> Json:
    """Return an entry that names its container, without what was asked of a new one."""
    return {**spec, "agent_kernel": {**spec["agent_kernel"], "container": container_id}}


def _container(given: object, index: int) -> Environment:
    where, field = f"tools[{index}].agent_kernel.container", "agent_kernel.container"
    if given == "auto":
        return Environment("auto", index, params={"type": "auto"}, field=field)
    if isinstance(given, str) and given:
        return Environment("reference", index, container_id=given, field=field)
    if isinstance(given, Mapping) and given.get("type") == "auto":
        return Environment("auto", index, params=given, field=field)
    raise InvalidRequest(
        f"{where} must be auto, the id of a container, or an object with the type auto.",
        hint="For a new container with 2 GiB: {'type': 'auto', 'memory_limit': '2g'}.",
        param=where,
    )


def _check_preview(spec: Json, index: int) -> None:
    for name in ("display_width", "display_height"):
        value = spec.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
            raise InvalidRequest(
                f"tools[{index}].{name} must be a number of pixels, not {shortened(value)}.",
                param=f"tools[{index}].{name}",
            )
