"""Enforces the limits of one key in this process; see `keys.KeyLimits`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from agent_kernel.errors import LimitReached
from agent_kernel.keys import KeyLimits

NEXT_TRY = 1.0
"""`Retry-After` in seconds for a client that has too many turns."""


class Quota:
    """The limits of one key and its running turns."""

    def __init__(self, limits: KeyLimits = KeyLimits()) -> None:  # noqa: B008 (frozen)
        self.limits = limits
        self._turns = 0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Count one running turn. Raises `LimitReached` at once if that is too many."""
        most = self.limits.turns
        if most is not None and self._turns >= most:
            raise LimitReached(
                f"This key allows {_number(most, 'turn')} at the same time.",
                hint="Wait until one ends, or cancel one.",
                code="turns_limit_reached",
                retry_after=NEXT_TRY,
            )
        self._turns += 1
        try:
            yield
        finally:
            self._turns -= 1

    def too_many_containers(self) -> LimitReached:
        """Return the error for one container too many."""
        return LimitReached(
            f"This key allows {_number(self.limits.containers or 0, 'container')} at the same time.",
            hint="Delete one, or wait until one expires.",
            code="containers_limit_reached",
        )

    def too_many_bytes(self) -> LimitReached:
        """Return the error for a file that exceeds the limit."""
        return LimitReached(
            f"This key allows {self.limits.stored_bytes} bytes of files; this would exceed it.",
            hint="Delete files that you no longer need.",
            code="stored_bytes_limit_reached",
        )


def _number(most: int, what: str) -> str:
    return f"one {what}" if most == 1 else f"{most} {what}s"
