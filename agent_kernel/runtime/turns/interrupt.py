"""Stops a turn from outside: on cancel, a steering message, its deadline or a server shutdown."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal


class Stopped(Exception):
    """The turn was asked to stop. Never leaves the runtime."""


class Interrupt:
    """Stops one turn. `status` and `reason` say how the response ends, once a stop was asked for."""

    def __init__(self) -> None:
        self.status: Literal["incomplete", "cancelled"] | None = None
        self.reason = ""
        self._scopes: set[_Scope] = set()

    def stop(
        self, status: Literal["incomplete", "cancelled"], reason: str = "", *, patience: bool = False
    ) -> None:
        """Ask the turn to stop. The first request decides how it ends, but a cancel replaces any other.

        With `patience`, a running command has the grace period of its scope to end by itself.
        """
        if self.status is None or status == "cancelled":
            self.status, self.reason = status, reason
        for scope in list(self._scopes):
            scope.stop(patience=patience)

    def bar(self) -> None:
        """Let nothing more begin. What runs is not stopped."""
        if self.status is None:
            self.status = "incomplete"

    def check(self) -> None:
        """Raise `Stopped` if a stop was asked for. Called where a turn may end."""
        if self.status is not None:
            raise Stopped

    @contextmanager
    def stoppable(self, grace: float = 0.0) -> Iterator[None]:
        """Cancel what the current task awaits inside when the turn is stopped, and raise `Stopped` instead.

        `grace` is in seconds, see `stop`. A cancellation of the task by anyone else passes through.
        """
        self.check()
        scope = _Scope(grace)
        self._scopes.add(scope)
        try:
            yield
        except asyncio.CancelledError:
            if scope.ends_here():
                raise Stopped from None
            raise
        finally:
            self._scopes.discard(scope)
            scope.leave()


class _Scope:
    """One task inside `stoppable`. It works as `asyncio.timeout` does, with a stop in place of the clock."""

    def __init__(self, grace: float) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (a turn always runs in a task)
        self._task = task
        self._grace = grace
        self._cancels_before = task.cancelling()
        self._cancelled = self._ended = False
        self._timer: asyncio.TimerHandle | None = None

    def stop(self, *, patience: bool) -> None:
        if not (patience and self._grace):
            self._cancel()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._grace, self._cancel)

    def _cancel(self) -> None:
        if not self._cancelled:  # a second cancel would break off the clean-up after the first
            self._cancelled = True
            self._task.cancel()

    def ends_here(self) -> bool:
        """Return whether the stop alone cancelled the task, so that its cancellation ends with this scope."""
        self._ended = self._cancelled
        return self._cancelled and self._task.uncancel() <= self._cancels_before

    def leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._cancelled and not self._ended:  # what was cancelled failed in another way: that is raised
            self._task.uncancel()
