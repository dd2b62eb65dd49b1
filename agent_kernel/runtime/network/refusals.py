"""The destinations that a container was refused since its last command."""

from __future__ import annotations

from collections.abc import Sequence

MOST_LINES = 5
"""Refused destinations that the output of one command names."""


class Refusals:
    """Refused destinations with the latest reason of each. The names come from inside, so few are kept."""

    def __init__(self) -> None:
        self._reasons: dict[tuple[str, int], str] = {}
        self._more = 0

    def add(self, name: str, port: int, reason: str) -> None:
        """Keep a refusal for the next `take`."""
        if (name, port) in self._reasons or len(self._reasons) < MOST_LINES:
            self._reasons[name, port] = reason
        else:
            self._more += 1

    def take(self) -> Sequence[str]:
        """Return a line for each destination that was refused since the last call."""
        lines = [f"Network: {name}:{port} was refused: {why}." for (name, port), why in self._reasons.items()]
        if self._more:
            lines.append(f"Network: {self._more} more connections were refused.")
        self._reasons, self._more = {}, 0
        return lines
