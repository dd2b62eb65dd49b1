"""What the holder of one key may still begin in this process; see `base.Limits`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from agent_kernel.errors import LimitReached
from agent_kernel.keys import KeyLimits

NEXT_TRY = 1.0
"""Seconds after which a client may ask again whether one of its turns has ended."""


class Quota:
    """The limits of one key, and the turns that count against them."""

    def __init__(self, limits: KeyLimits = KeyLimits()) -> None:  # noqa: B008 (frozen)
        self.limits = limits
        self._turns = 0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Have one more turn running. Raises `LimitReached` at once where that would be too many."""
        most = self.limits.turns
        if most is not None and self._turns >= most:
            raise LimitReached(
                f"With this key {_number(most, 'turn')} can run at the same time.",
                hint="Wait for the end of one, or cancel one.",
                code="turns_limit_reached",
                retry_after=NEXT_TRY,
            )
        self._turns += 1
        try:
            yield
        finally:
            self._turns -= 1

    def too_many_containers(self) -> LimitReached:
        """Make the error for a container over the limit."""
        return LimitReached(
            f"With this key {_number(self.limits.containers or 0, 'container')} can live at the same time.",
            hint="Delete one, or wait until one expires.",
            code="containers_limit_reached",
        )

    def too_many_bytes(self) -> LimitReached:
        """Make the error for a file over the limit."""
        return LimitReached(
            f"With this key {self.limits.stored_bytes} bytes of files can be kept; this would be more.",
            hint="Delete files that are not needed any more.",
            code="stored_bytes_limit_reached",
        )


def _number(most: int, what: str) -> str:
    return f"one {what}" if most == 1 else f"{most} {what}s"
