"""Filters over the attributes of files: comparisons, and `and` and `or` of filters."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.validation import shortened

Json = Mapping[str, Any]

MOST = 200
"""Comparisons in one filter."""
DEEPEST = 8

_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_COMPARISONS = ("eq", "ne", *_ORDERS, "in", "nin")
_COMPOUNDS = ("and", "or")


class Filter(Protocol):
    """A condition on the attributes of a file."""

    def allows(self, attributes: Json) -> bool:
        """Return whether a file with these attributes may be found."""
        ...


@dataclass(frozen=True)
class AttributeComparison:
    """Compares one attribute. One that a file lacks equals nothing, and is neither less nor greater."""

    kind: str
    key: str
    value: Any

    def allows(self, attributes: Json) -> bool:
        """See `Filter`."""
        has = attributes.get(self.key)
        if self.kind in _ORDERS:
            return _comparable(has, self.value) and _ORDERS[self.kind](has, self.value)
        wanted = self.value if self.kind in ("in", "nin") else [self.value]
        found = any(_equal(has, each) for each in wanted)
        return found == (self.kind in ("eq", "in"))


@dataclass(frozen=True)
class Compound:
    """All or any of several filters."""

    kind: str
    filters: Sequence[Filter]

    def allows(self, attributes: Json) -> bool:
        """See `Filter`."""
        every = all if self.kind == "and" else any
        return every(each.allows(attributes) for each in self.filters)


def read_filter(given: object, where: str) -> Filter | None:
    """Check a filter at a place of a request; None stays None. Raises `InvalidRequest`."""
    return None if given is None else _read(given, where, [MOST], 1)


def _read(given: object, where: str, left: list[int], depth: int) -> Filter:
    left[0] -= 1
    if left[0] < 0 or depth > DEEPEST:
        raise InvalidRequest(
            f"{where}: a filter has at most {MOST} parts, nested at most {DEEPEST} deep.", param=where
        )
    kind = given.get("type") if isinstance(given, Mapping) else None
    if not isinstance(given, Mapping) or kind not in (*_COMPARISONS, *_COMPOUNDS):
        words = ", ".join((*_COMPARISONS, *_COMPOUNDS))
        raise InvalidRequest(f"{where}.type must be one of {words}.", param=f"{where}.type")
    if kind in _COMPOUNDS:
        parts = given.get("filters")
        if not isinstance(parts, list | tuple) or not parts:
            raise InvalidRequest(f"{where}.filters must be a list of filters.", param=f"{where}.filters")
        found = [_read(each, f"{where}.filters[{n}]", left, depth + 1) for n, each in enumerate(parts)]
        return Compound(str(kind), found)
    key, value = given.get("key"), given.get("value")
    if not isinstance(key, str) or not key:
        raise InvalidRequest(f"{where}.key must be the name of an attribute.", param=f"{where}.key")
    _check_value(str(kind), value, f"{where}.value")
    return AttributeComparison(str(kind), key, value)


def _check_value(kind: str, value: object, where: str) -> None:
    many = kind in ("in", "nin")
    values = value if many and isinstance(value, list | tuple) and len(value) <= MOST else [value]
    if all(isinstance(each, str | int | float) for each in values) and (not many or values is value):
        return
    wanted = f"a list of at most {MOST} texts, numbers and booleans" if many else "a text, number or boolean"
    raise InvalidRequest(f"{where} must be {wanted}, not {shortened(value)}.", param=where)


def _comparable(one: object, other: object) -> bool:
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (one, other))
    return numbers or (isinstance(one, str) and isinstance(other, str))


def _equal(one: object, other: object) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and one == other
