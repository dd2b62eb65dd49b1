"""Pagination of the API's lists."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol, TypeVar

from agent_kernel.errors import InvalidRequest
from agent_kernel.runtime.base import Order, Page

REMEMBERED = 10_000
"""Entries that were last on a page: how many of them are remembered, over all lists of this process."""


class Identified(Protocol):
    """Anything with an id."""

    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=Identified)


class _Served:
    """The pages that were served, by their last entry, so that a client can delete what it lists.

    A cursor whose entry was deleted is replaced with the nearest entry before it that still exists: whatever
    lay between was served already.
    """

    def __init__(self) -> None:
        self._before: OrderedDict[tuple[str, Order], tuple[tuple[str, ...], str | None]] = OrderedDict()

    def keep(self, data: Sequence[Identified], after: str | None, order: Order) -> None:
        if data:
            ids = tuple(each.id for each in data)
            self._before[ids[-1], order] = (ids, after)
            self._before.move_to_end((ids[-1], order))
            if len(self._before) > REMEMBERED:
                self._before.popitem(last=False)

    def start(self, after: str, order: Order, positions: dict[str, int]) -> int | None:
        """Return where the page after this deleted entry starts; None if the entry is not remembered."""
        cursor: str | None = after
        seen: set[str] = set()
        while cursor is not None and cursor not in seen:
            seen.add(cursor)
            if cursor in positions:
                return positions[cursor] + 1
            if (cursor, order) not in self._before:
                return None
            ids, earlier = self._before[cursor, order]
            alive = [positions[each] for each in ids if each in positions]
            if alive:
                return alive[-1] + 1
            cursor = earlier
        return 0


_SERVED = _Served()


def page(ascending: Sequence[R], *, after: str | None, limit: int, order: Order, most: int = 100) -> Page[R]:
    """Return the page of `limit` (1 to `most`) resources after the one with id `after`, in `order`.

    `after` may have been deleted since this process served it. Raises `InvalidRequest` for a limit, an order
    or an id that does not exist.
    """
    if not 1 <= limit <= most:
        raise InvalidRequest(f"limit must be from 1 to {most}.", param="limit")
    if order not in ("asc", "desc"):
        raise InvalidRequest("order must be asc or desc.", param="order")
    data = list(ascending) if order == "asc" else list(reversed(ascending))
    if after is not None:
        start = _SERVED.start(after, order, {each.id: index for index, each in enumerate(data)})
        if start is None:
            raise InvalidRequest(f"No entry with the id {after!r} in this list.", param="after")
        data = data[start:]
    found = data[:limit]
    if len(data) > limit:
        _SERVED.keep(found, after, order)
    return Page(data=found, has_more=len(data) > limit)
