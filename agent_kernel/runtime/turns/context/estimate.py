"""Estimates the tokens of items."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from agent_kernel.models.earlier import earlier_of

Json = Mapping[str, Any]

CHARACTERS = 4
"""Characters in a token, on average, for English text and code in the usual vocabularies."""
_PER_ITEM = 4
"""Tokens that an item costs in addition to its text."""
_PER_IMAGE = 1000
_MEDIA = ("input_image", "input_audio")

NOT_TEXT = (
    "id",
    "type",
    "status",
    "call_id",
    "image_url",
    "file_data",
    "input_audio",
    "annotations",
    "logprobs",
)
"""Fields of items that are not text for the model."""


type_of: Callable[[Json], str | None] = operator.methodcaller("get", "type")
"""Returns the type of an item. Passes over a whole conversation use it with `map`: they run in every step."""


def estimate(items: Iterable[Json]) -> int:
    """Estimate the tokens of input: a quarter of its characters, plus some per item and image."""
    return sum(map(_tokens, items))


class ItemSizes:
    """Estimates a conversation that grows. Items of the last estimate are not measured again.

    An item that is in a conversation does not change; a changed one is another object.
    """

    def __init__(self) -> None:
        self._items: list[Json] = []
        self._sizes: list[int] = []
        self._offered: tuple[object, ...] = ()
        self._offered_size = 0

    def estimate(self, items: Sequence[Json]) -> int:
        """See the function `estimate`. Runs in every step, so it looks only at what is new."""
        if (earlier := earlier_of(items)) is not None:
            return earlier.size + self.estimate(items[earlier.count :])
        known = len(self._items)
        if known <= len(items) and all(map(operator.is_, self._items, items)):
            self._items += items[known:]
            self._sizes += map(_tokens, items[known:])
        else:
            last = dict(zip(map(id, self._items), self._sizes, strict=True))
            sizes = [last.get(id(item)) or _tokens(item) for item in items]
            self._items, self._sizes = list(items), sizes
        return sum(self._sizes)

    def offered(self, instructions: str | None, tools: Sequence[Any], spec_of: Callable[[Any], Json]) -> int:
        """Estimate instructions and tools, which stay the same from step to step."""
        offered = instructions, *tools
        if offered != self._offered:
            self._offered = offered
            self._offered_size = estimate([{"text": instructions or ""}, *map(spec_of, tools)])
        return self._offered_size


def _tokens(item: Json) -> int:
    if item.get("type") == "image_generation_call":
        return _PER_ITEM + _PER_IMAGE
    return _PER_ITEM + _characters(item) // CHARACTERS + _PER_IMAGE * _images(item)


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_characters(each) for name, each in value.items() if name not in NOT_TEXT)
    if isinstance(value, list | tuple):
        return sum(map(_characters, value))
    return 1


def _images(item: Json) -> int:
    found = 0
    for name in ("content", "output"):
        parts = item.get(name)
        if isinstance(parts, Mapping):  # a screenshot
            found += bool(parts.get("image_url"))
        elif isinstance(parts, list):
            found += sum(isinstance(part, Mapping) and part.get("type") in _MEDIA for part in parts)
    return found
