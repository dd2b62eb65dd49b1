"""The destinations that a container was refused, or could not reach, since its last command."""

from __future__ import annotations

from collections.abc import Sequence

MOST_LINES = 5
"""Destinations that the output of one command names."""


class Refusals:
    """Destinations with the latest reason of each. The names come from inside, so few are kept."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, int], str] = {}
        self._more = 0

    def add(self, name: str, port: int, reason: str) -> None:
        """Keep a refusal for the next `take`."""
        self._say(name, port, f"was refused: {reason}")

    def failed(self, name: str, port: int, failure: str) -> None:
        """Keep that an allowed destination did not answer, for the next `take`."""
        self._say(name, port, f"is allowed and could not be reached: {failure}")

    def _say(self, name: str, port: int, what: str) -> None:
        if (name, port) in self._said or len(self._said) < MOST_LINES:
            self._said[name, port] = what
        else:
            self._more += 1

    def take(self) -> Sequence[str]:
        """Return a line for each of these destinations since the last call."""
        lines = [f"Network: {name}:{port} {what}." for (name, port), what in self._said.items()]
        if self._more:
            lines.append(f"Network: {self._more} more connections were refused or failed.")
        self._said, self._more = {}, 0
        return lines
