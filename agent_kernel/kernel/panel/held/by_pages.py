"""What pages hold open in the kernel: uploads, downloads, terminals. Bounded; given up when left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from agent_kernel.errors import InvalidRequest

IDLE_SECONDS = 600.0
"""Seconds after which something is given up that its page no longer asks for: the page may be gone."""


class Cancellable(Protocol):
    """Something that a page holds."""

    def cancel(self) -> None:
        """Give it up. Idempotent."""
        ...


T = TypeVar("T", bound=Cancellable)


@dataclass
class _Entry(Generic[T]):
    item: T
    timer: asyncio.TimerHandle


class HeldByPages(Generic[T]):
    """Things by page and by the name that the page gave them; `most` of all pages together.

    `kind` is their name in the plural, such as `uploads`.
    """

    def __init__(self, kind: str, most: int) -> None:
        self._kind = kind
        self._most = most
        self._open: dict[tuple[str, str], _Entry[T]] = {}

    def check(self, page: str, name: str) -> None:
        """Raise `InvalidRequest` if there are too many, or one of that name."""
        if len(self._open) >= self._most:
            raise InvalidRequest(f"Too many {self._kind} are open.", hint="Wait for the others, or end one.")
        if (page, name) in self._open:
            raise InvalidRequest(f"The name is in use; the page has such {self._kind}.")

    def add(self, page: str, name: str, item: T) -> T:
        """Keep an item, after `check`, and return it."""
        self._open[page, name] = _Entry(item, self._timer(page, name))
        return item

    def get(self, page: str, name: str) -> T:
        """Return an item. Raises `InvalidRequest` if there is none."""
        if (entry := self._open.get((page, name))) is None:
            raise InvalidRequest(f"This is none of the open {self._kind}: it has ended.", hint="Begin again.")
        entry.timer.cancel()
        entry.timer = self._timer(page, name)
        return entry.item

    def end(self, page: str, name: str) -> None:
        """Forget an item, and give it up."""
        if (entry := self._open.pop((page, name), None)) is not None:
            entry.timer.cancel()
            entry.item.cancel()

    def gone(self, page: str) -> None:
        """Give up all of a page that has gone."""
        for owner, name in list(self._open):
            if owner == page:
                self.end(owner, name)

    def __iter__(self) -> Iterator[T]:
        return (entry.item for entry in self._open.values())

    def _timer(self, page: str, name: str) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(IDLE_SECONDS, self.end, page, name)
