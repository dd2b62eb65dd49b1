"""Answers that a page may have lost with its connection: a request that comes again is not done twice."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

Answer = tuple[Mapping[str, Any], list[bytes]]
"""A message, and the buffers beside it."""

MOST_REMEMBERED = 512
"""Requests of one page that are known to have been answered."""

MOST_KEPT = 64
"""Answers of one page that are kept: as many as it may have open requests."""

MOST_BYTES = 4 << 20
"""Bytes in the buffers of one page's answers."""


class GivenAnswers:
    """The newest answers to one page, by the id of the request."""

    def __init__(self) -> None:
        self._given: OrderedDict[str, Answer | None] = OrderedDict()
        self._kept: OrderedDict[str, int] = OrderedDict()

    def add(self, request: str, message: Mapping[str, Any], buffers: list[bytes]) -> None:
        """Keep an answer. Older ones go that are too many or too large; it stays known that there were."""
        self._given[request] = (message, buffers)
        self._kept[request] = sum(map(len, buffers))
        while len(self._kept) > MOST_KEPT or sum(self._kept.values()) > MOST_BYTES:
            oldest, _ = self._kept.popitem(last=False)
            self._given[oldest] = None
        while len(self._given) > MOST_REMEMBERED:
            self._given.popitem(last=False)

    def __contains__(self, request: str) -> bool:
        return request in self._given

    def get(self, request: str) -> Answer | None:
        """Return the answer to a request, or None if it is not kept any more."""
        return self._given.get(request)
