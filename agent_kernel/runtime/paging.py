"""Pagination of the API's lists."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from agent_kernel.errors import InvalidRequest
from agent_kernel.runtime.base import Order, Page


class Identified(Protocol):
    """Anything with an id."""

    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=Identified)

Before = Callable[[str], Awaitable[str | None]]
"""Returns the id of the entry before the place of a deleted one: "" at the start, None if it is not known."""


@dataclass(frozen=True)
class Asked:
    """What a client asks of a list: `limit` (1 to `most`) entries after the one with id `after`.

    Raises `InvalidRequest` for another limit or order.
    """

    after: str | None
    limit: int
    order: Order
    most: int = 100

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= self.most:
            raise InvalidRequest(f"limit must be from 1 to {self.most}.", param="limit")
        if self.order not in ("asc", "desc"):
            raise InvalidRequest("order must be asc or desc.", param="order")


async def _never_deleted(_: str) -> None:
    return None


async def page(
    ascending: Sequence[R],
    asked: Asked,
    *,
    before: Before = _never_deleted,
    shown: Callable[[R], bool] = lambda _: True,
) -> Page[R]:
    """Return a page of the `shown` entries of a whole list.

    The entry `after` may be deleted or not shown: the page goes on from its place. Raises `InvalidRequest`
    if there never was one of this id.
    """
    data = after(ascending, asked.order, await _split(ascending, asked.after, asked.order, before))
    found = [each for each in data if shown(each)]
    return Page(data=found[: asked.limit], has_more=len(found) > asked.limit)


def after(ascending: Sequence[R], order: Order, split: int | None) -> Sequence[R]:
    """Return the entries that follow in this order if the ascending list is split at an index (None: all)."""
    if order == "asc":
        return ascending[split or 0 :]
    return ascending[:split][::-1]


async def _split(ascending: Sequence[R], cursor: str | None, order: Order, before: Before) -> int | None:
    if cursor is None:
        return None
    positions = {each.id: index for index, each in enumerate(ascending)}
    if cursor in positions:
        return positions[cursor] + (order == "asc")
    earlier: str | None = cursor
    tried: set[str] = set()
    while earlier is not None and earlier not in tried:
        tried.add(earlier)
        earlier = await before(earlier)
        if earlier == "":
            return 0
        if earlier in positions:
            return positions[earlier] + 1
    raise unknown(cursor)


def unknown(cursor: str) -> InvalidRequest:
    """Return the error for a cursor that never was in the list."""
    return InvalidRequest(f"No entry with the id {cursor!r} in this list.", param="after")
