"""The beginning of a conversation that no later turn changes, and its form for each upstream.

A long chain sends the same items again and again. Here they are kept with what every step needs of them, so
that a step looks at the new items only.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent_kernel.models.base import Item

_FORMS = 2
"""Forms that are kept of one chain: a notebook may change the model between two turns."""

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode

Render = Callable[[Sequence[Item]], Sequence[Any]]
"""Translates items for an upstream. What it makes of items does not depend on those around them."""


@dataclass
class _Form:
    """The items as an upstream gets them, as JSON without the brackets of the list, in pieces.

    `ends` are the numbers of items up to the end of each piece.
    """

    ends: list[int] = field(default_factory=lambda: [0])
    pieces: list[bytes] = field(default_factory=lambda: [b""])

    def until(self, count: int) -> _Form:
        """Return a copy of the pieces that end within the first `count` items."""
        known = bisect_right(self.ends, count)
        return _Form(self.ends[:known], self.pieces[:known])


@dataclass
class _Log:
    """What the turns of one chain share. It only grows, so each turn sees its own beginning of it."""

    items: list[Item] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    forms: OrderedDict[Hashable, _Form] = field(default_factory=OrderedDict)

    def until(self, count: int) -> _Log:
        """Return a copy of its beginning."""
        places = {key: place for key, place in self.places.items() if place < count}
        forms = OrderedDict((key, form.until(count)) for key, form in self.forms.items())
        return _Log(self.items[:count], places, forms)


class Earlier:
    """The first `count` items of a conversation, as models get them. `size` is their estimated tokens."""

    def __init__(self, log: _Log | None = None, count: int = 0, size: int = 0) -> None:
        self._log = log or _Log()
        self.count = count
        self.size = size

    @property
    def items(self) -> list[Item]:
        """The items, as a new list."""
        return self._log.items[: self.count]

    def has(self, call_id: object) -> bool:
        """Return whether a call among the items has this id."""
        return isinstance(call_id, str) and self._log.places.get(call_id, self.count) < self.count

    def grown(self, items: Sequence[Item], size: int) -> Earlier:
        """Return these items with more after them, whose estimated tokens are `size`.

        The first continuation shares what is known with this one; every other, a branch, copies it.
        """
        log = self._log
        if len(log.items) != self.count:
            log = log.until(self.count)
        log.places |= {
            item["call_id"]: self.count + number for number, item in enumerate(items) if item.get("call_id")
        }
        log.items += items
        return Earlier(log, len(log.items), self.size + size)

    def form(self, key: Hashable, render: Render) -> Sequence[bytes]:
        """Return the items in the form `key`: JSON without brackets, in pieces that a comma parts.

        `render` makes it where it is new.
        """
        forms = self._log.forms
        form = forms.setdefault(key, _Form())
        forms.move_to_end(key)
        while len(forms) > _FORMS:
            forms.popitem(last=False)
        known = bisect_right(form.ends, self.count)
        pieces, end = form.pieces[:known], form.ends[known - 1]
        if end < self.count:
            made = _encoded(render(self._log.items[end : self.count]))
            pieces.append(made)
            if known == len(form.ends):
                form.ends.append(self.count)
                form.pieces.append(made)
        return pieces


class Continued(list[Item]):
    """A conversation that begins with the items of `earlier`. Any list made from it is a plain one."""

    def __init__(self, earlier: Earlier, later: Iterable[Item]) -> None:
        super().__init__(earlier.items)
        self.extend(later)
        self.earlier = earlier


def earlier_of(items: Sequence[Item]) -> Earlier | None:
    """Return what is known of a conversation's beginning, if anything is."""
    return items.earlier if isinstance(items, Continued) and items.earlier.count else None


def later_of(items: Sequence[Item]) -> Sequence[Item]:
    """Return the items after those that `earlier_of` returns."""
    earlier = earlier_of(items)
    return items if earlier is None else items[earlier.count :]


@dataclass(frozen=True)
class Joined:
    """A list in a request: what begins it, the form of earlier items, and the later ones."""

    first: Sequence[Any]
    earlier: Sequence[bytes]
    later: Sequence[Any]

    def pieces(self, name: bytes) -> list[bytes]:
        """Return the list as the field `name` of a JSON object, in pieces that a comma parts."""
        found = [piece for piece in (_encoded(self.first), *self.earlier, _encoded(self.later)) if piece]
        found = found or [b""]
        found[0] = b"%s:[%s" % (name, found[0])
        found[-1] += b"]"
        return found


def _encoded(values: Sequence[Any]) -> bytes:
    """Return the values as JSON, without the brackets of a list."""
    return ",".join(map(_encode, values)).encode()


def rendered(
    items: Sequence[Item], key: Hashable, render: Render, first: Sequence[Any] = ()
) -> Joined | Sequence[Any]:
    """Return the items for a request's body, behind `first`, with the earlier ones in their form `key`.

    Where the user does not speak next, the items after the earlier ones may belong to the last of them.
    """
    earlier, later = earlier_of(items), later_of(items)
    if earlier is None or not later or not _opens(later[0]):
        return [*first, *render(items)]
    return Joined(first, earlier.form(key, render), render(later))


def _opens(item: Item) -> bool:
    return item.get("type", "message") == "message" and item.get("role") != "assistant"


def encoded(body: Mapping[str, Any]) -> bytes | None:
    """Return a request's body as JSON if a list in it is `Joined`, otherwise None."""
    if not any(isinstance(value, Joined) for value in body.values()):
        return None
    pieces: list[bytes] = []
    for name, value in body.items():
        if isinstance(value, Joined):
            pieces += value.pieces(_encoded([name]))
        else:
            pieces.append(_encoded([name]) + b":" + _encoded([value]))
    pieces[0] = b"{" + pieces[0]
    pieces[-1] += b"}"
    return b",".join(pieces)  # a long conversation is copied once
