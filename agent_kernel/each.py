"""Loops over many things (rows, sandboxes, checkpoints) in which one broken thing never stops the others.

Every sweep, expiry, recovery, retention and removal of many goes through here.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from agent_kernel import errors

log = logging.getLogger(__name__)

OF_THE_ENGINE = (
    errors.EngineUnavailable,
    errors.ImageMissing,
    errors.PreparationFailed,
    errors.IsolationUnavailable,
    errors.LimitUnavailable,
    errors.CapabilityMissing,
)
"""Sandbox errors that every other thing of the loop would meet too."""


class Row(Protocol):
    """Anything with an id that the log can name."""

    @property
    def id(self) -> str:
        """The row's id."""
        ...


R = TypeVar("R", bound=Row)


def ends_loop(error: Exception) -> bool:
    """Return whether an error is about the engine, the store or a setting, and so not about one thing."""
    if isinstance(error, errors.SandboxError):
        return isinstance(error, OF_THE_ENGINE)
    return isinstance(error, errors.AgentKernelError)


@contextmanager
def skipped(name: str, failures: list[Exception] | None = None) -> Iterator[None]:
    """Log an error that is about the thing `name` alone, add it to `failures`, and go on after the block.

    An error that `ends_loop` is raised.
    """
    try:
        yield
    except Exception as error:
        if ends_loop(error):
            raise
        if isinstance(error, errors.SandboxError):
            log.warning("%s cannot be handled and is skipped: %s", name, error)
        else:
            log.exception("%s cannot be handled and is skipped.", name)
        if failures is not None:
            failures.append(error)


async def each(
    rows: Iterable[R],
    step: Callable[[R], Awaitable[None]],
    broken: Callable[[R], Awaitable[None]] | None = None,
) -> list[Exception]:
    """Run `step` for every row, in order. Return the errors of the rows that failed.

    A row's error is logged, `broken` runs for the row, and the loop goes on; see `ends_loop` for the errors
    that end the loop and are raised. An error in `broken` is handled the same way.
    """
    failures: list[Exception] = []
    for row in rows:
        failed = len(failures)
        with skipped(f"The row {row.id}", failures):
            await step(row)
        if broken is not None and len(failures) > failed:
            failures += await each([row], broken)
    return failures
