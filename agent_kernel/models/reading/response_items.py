"""Identity of the items in another server's Responses stream.

The API numbers them by `output_index`. Some servers (llama.cpp) leave it out and give ids only, `fc_X` and
`call_X` for one call. Others (vLLM) give an item another id in the closing event.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

Key = int | str | None
"""An item of one answer: its output index, or else its first id. None: the event names no item."""

_PREFIXES = ("fc_", "call_")


class Items:
    """The items of one answer, by key: which there were, in order, by kind, and which are done."""

    def __init__(self) -> None:
        self._aliases: dict[str, Key] = {}
        self._again: dict[Key, Key] = {}  # where a finished item's key stands for a later item now
        self._order: dict[str, list[Key]] = defaultdict(list)
        self._finished: set[Key] = set()
        self._streamed: set[Key] = set()
        self._parts: set[tuple[Key, int]] = set()

    def key(self, event: Any) -> Key:
        """Return the key of the item that an event is about."""
        index = getattr(event, "output_index", None)
        item = getattr(event, "item", None)
        ids = [getattr(event, "item_id", None), getattr(item, "id", None), getattr(item, "call_id", None)]
        names = [_bare(each) for each in ids if isinstance(each, str) and each]
        if isinstance(index, int):
            found: Key = index
        else:
            known = [self._aliases[name] for name in names if name in self._aliases]
            found = known[0] if known else names[0] if names else None
        found = self._again.get(found, found)
        if getattr(event, "type", None) == "response.output_item.added" and found in self._finished:
            again = f"{found} again"  # some servers count no further: the next item has the same index or id
            self._again |= {first: again for first, now in self._again.items() if now == found}
            self._again[found] = again
            found = again
            self._aliases.update(dict.fromkeys(names, found))
        for name in names:
            self._aliases.setdefault(name, found)
        return found

    def saw(self, kind: str, key: Key) -> None:
        """Note that there is an item of this kind."""
        if key not in self._order[kind]:
            self._order[kind].append(key)

    def add_part(self, key: Key, event: Any) -> bool:
        """Note that a part of an item had text; return whether it is new."""
        summary = getattr(event, "summary_index", None)
        part = (key, getattr(event, "content_index", None) or summary or 0)
        is_new = part not in self._parts
        self._parts.add(part)
        return is_new

    def stream(self, key: Key) -> None:
        """Note that an item has had a delta."""
        self._streamed.add(key)

    def has_streamed(self, key: Key) -> bool:
        """Return whether an item has had a delta."""
        return key in self._streamed

    def finish(self, key: Key) -> None:
        """Note that an item is done."""
        self._finished.add(key)

    def is_finished(self, key: Key) -> bool:
        """Return whether an item is done."""
        return key in self._finished

    def unfinished(self, output: Sequence[Any]) -> Iterator[tuple[Any, Key]]:
        """Yield the items of the closing event that are not done, with the key each has or gets.

        An item is the one of its kind with the same id, or else at the same index, or else the next one that
        is left: servers also begin parallel calls in another order than that of the closing event.
        """
        keys: dict[int, Key] = {}
        for place_of in (self._same_id, self._same_index, self._next):
            for position, item in enumerate(output):
                if position in keys:
                    continue
                left = [key for key in self._order[item.type] if key not in keys.values()]
                found = place_of(item, position, left)
                if found is not None:
                    keys[position] = found
        for position, item in enumerate(output):
            key = keys.get(position, f"output {position}")
            if key not in self._finished:
                yield item, key

    def _same_id(self, item: Any, position: int, left: Sequence[Key]) -> Key:
        ids = [getattr(item, "id", None), getattr(item, "call_id", None)]
        keys = [self._aliases.get(_bare(each)) for each in ids if isinstance(each, str)]
        return next((key for key in keys if key in left), None)

    def _same_index(self, item: Any, position: int, left: Sequence[Key]) -> Key:
        return position if position in left else None

    def _next(self, item: Any, position: int, left: Sequence[Key]) -> Key:
        return left[0] if left else None


def labels_of(item: Any) -> dict[str, Any]:
    """Return the `namespace`, `caller` and `async` of a call, as far as the upstream gave them."""
    labels: dict[str, Any] = {}
    if isinstance(later := getattr(item, "async", None), bool):
        labels["async"] = later
    if isinstance(namespace := getattr(item, "namespace", None), str) and namespace:
        labels["namespace"] = namespace
    caller = getattr(item, "caller", None)
    kind, caller_id = getattr(caller, "type", None), getattr(caller, "caller_id", None)
    if isinstance(kind, str):
        known = {"type": kind, "caller_id": caller_id}
        labels["caller"] = {name: value for name, value in known.items() if isinstance(value, str)}
    return labels


def _bare(name: str) -> str:
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name
