"""Anthropic's own computer tools, in place of the function `computer`.

The newest form is a toolset: an entry without a name, whose actions are called by their names and marked with
`toolset_name`. The older one is a tool with the screen's size, in beta. A server that refuses one gets the
next, and at last the function. See `anthropic.types.ComputerToolset20260801Param` and
`anthropic.types.beta.BetaToolComputerUse20251124Param`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from agent_kernel.models.offered import Offered
from agent_kernel.protocol.desktop.items import actions_of
from agent_kernel.tools.base import ToolEntry
from agent_kernel.tools.computer.native import UNAVAILABLE, as_native
from agent_kernel.tools.computer.spec import display_of
from agent_kernel.tools.computer.tool import COMPUTER

Json = Mapping[str, Any]

Form = Literal["toolset", "tool", "function"]

TOOLSET, TOOL, BETA = "computer_toolset_20260801", "computer_20251124", "computer-use-2025-11-24"
SET_NAME = "computer"
NEXT: Mapping[Form, Form] = {"toolset": "tool", "tool": "function"}


def offered_computer(offered: Offered) -> ToolEntry | None:
    """Return the entry of the computer among the tools that a model may call."""
    return next((each for each in offered.allowed if each.tool is COMPUTER), None)


def spec_of(entry: ToolEntry, form: Form) -> dict[str, Any]:
    """Return the entry of `tools` in a form that is not the function."""
    if form == "toolset":
        return {"type": TOOLSET, "configs": {name: {"enabled": False} for name in UNAVAILABLE}}
    display = display_of(entry.spec)
    size = {"display_width_px": display.width, "display_height_px": display.height}
    return {"type": TOOL, "name": COMPUTER.type, **size}


def use_of(call: Json, form: Form) -> dict[str, Any] | None:
    """Return the fields of a `tool_use` block for a call item; None: it has no native form.

    That is a call with several actions, which another model made.
    """
    actions = actions_of(call)
    native = as_native(actions[0]) if len(actions) == 1 else None
    if native is None or form == "function":
        return None
    if form == "tool":
        return {"name": COMPUTER.type, "input": native}
    name = native.pop("action")
    return {"name": name, "toolset_name": SET_NAME, "input": native}


def with_action(name: str, arguments: str) -> str:
    """Return the arguments of the toolset's action `name` with the action."""
    try:
        given = json.loads(arguments or "{}")
    except ValueError:
        return arguments
    return json.dumps({"action": name, **given}) if isinstance(given, dict) else arguments
