"""Loops over stored rows in which one broken row never stops the others."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol, TypeVar

from agent_kernel.errors import AgentKernelError

log = logging.getLogger(__name__)


class Row(Protocol):
    """Anything with an id that the log can name."""

    @property
    def id(self) -> str:
        """The row's id."""
        ...


R = TypeVar("R", bound=Row)


async def each(
    rows: Iterable[R],
    step: Callable[[R], Awaitable[None]],
    broken: Callable[[R], Awaitable[None]] | None = None,
) -> None:
    """Run `step` for every row, in order.

    An `AgentKernelError` ends the loop: it is about the store or an engine, not about one row. Any other
    error is the row's: it is logged with its traceback, `broken` runs for the row, and the loop goes on. An
    error in `broken` is handled the same way.
    """
    for row in rows:
        try:
            await step(row)
        except AgentKernelError:
            raise
        except Exception:
            log.exception("The row %s cannot be handled and is skipped.", row.id)
            if broken is not None:
                await each([row], broken)
