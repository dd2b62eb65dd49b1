"""Renders `clock_call_output` items: a renderer as another package would bring it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agent_kernel.kernel.render.bundles import OUTPUT, ShownItem, box, pre
from agent_kernel.kernel.render.text import clean, code, escape


class ClockRenderer:
    """Shows the time that a clock tool read."""

    def render(self, item: Mapping[str, Any], limit: int) -> ShownItem | None:
        """Show the time; an item without one raises `KeyError`."""
        time = str(json.loads(item["output"])["time"])[:limit]
        return ShownItem(
            box(OUTPUT, f"It is {escape(time)}." + pre("")), f"It is {code(time)}.", f"It is {clean(time)}."
        )
