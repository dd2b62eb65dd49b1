"""The desktop of a notebook's container, and the entry of `tools` that offers it to the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.desktop.items import RULES


class NotebookScreen:
    """Whether the model may use the desktop, as `%screen` says, and what it may do there without asking."""

    def __init__(self) -> None:
        self.offered = False
        self.allowed: tuple[str, ...] = ()

    def offer(self, allowed: Sequence[str]) -> None:
        """Offer the desktop; `allowed` are rules that do not hold. Raises `InvalidRequest`."""
        if unknown := [each for each in allowed if each not in RULES]:
            raise InvalidRequest(
                f"%screen cannot allow {unknown[0]!r}.", hint=f"It can allow {', '.join(RULES)}."
            )
        self.offered, self.allowed = True, tuple(allowed)

    def tool(self, container_id: str) -> dict[str, Any]:
        """Return the entry of `tools`."""
        ask = [each for each in RULES if each not in self.allowed]
        return {"type": "computer", "agent_kernel": {"container": container_id, "ask": ask}}
