"""Pagination of the API's lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from agent_kernel.errors import InvalidRequest
from agent_kernel.runtime.base import Order, Page


class Identified(Protocol):
    """Anything with an id."""

    id: str


R = TypeVar("R", bound=Identified)


def page(ascending: Sequence[R], *, after: str | None, limit: int, order: Order, most: int = 100) -> Page[R]:
    """Return the page of `limit` (1 to `most`) resources after the one with id `after`, in `order`.

    Raises `InvalidRequest` for a limit, an order or an id that does not exist.
    """
    if not 1 <= limit <= most:
        raise InvalidRequest(f"limit must be from 1 to {most}.", param="limit")
    if order not in ("asc", "desc"):
        raise InvalidRequest("order must be asc or desc.", param="order")
    data = list(ascending) if order == "asc" else list(reversed(ascending))
    if after is not None:
        position = next((i for i, resource in enumerate(data) if resource.id == after), None)
        if position is None:
            raise InvalidRequest(f"No entry with the id {after!r} in this list.", param="after")
        data = data[position + 1 :]
    return Page(data=data[:limit], has_more=len(data) > limit)
