"""Items that an upstream makes with tools of its own: searches, pictures, lists of tools, unknown ones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.models.reading.response_items import Items, Key
from agent_kernel.protocol.calls import SERVER_LABEL
from agent_kernel.protocol.deltas import (
    UPSTREAM,
    ModelDelta,
    Notice,
    UpstreamEvent,
    UpstreamItem,
    UpstreamItemDone,
)
from agent_kernel.protocol.validation import check, shortened
from agent_kernel.tools.catalogue import catalogue

Deltas = Iterator[ModelDelta]

MOST_CHARACTERS = 32 << 20
"""Characters of one item with its keys: a large picture has some 10 million."""

DEEPEST = 40
"""Levels of nesting in one item."""

MOST_VALUES = 100_000
"""Values in one item: a list of tools has some thousands."""

NOT_KEPT = "The model's server sent an item that cannot be kept ({}): {}."

_NAME = re.compile("[a-z][a-z0-9_]{0,63}")
_EVENT = re.compile(r"[a-z][a-z0-9_]{0,63}(?:\.[a-z][a-z0-9_]{0,63}){1,5}")
_OF_OTHERS = (
    "response.output_item.",
    "response.output_text.",
    "response.content_part.",
    "response.refusal.",
    "response.reasoning",
    "response.function_call_arguments.",
    "agent_kernel.",
)
"""Events about messages, reasoning, functions and this server's own: clients expect another item there."""
_FROM_CLIENTS = (
    "additional_tools",
    "compaction_trigger",
    "configuration_update",
    "item_reference",
    "mcp_approval_request",
    "mcp_approval_response",
)
"""Items that a client sends, or that this server acts on: an upstream must not make them."""

_SHAPES: Mapping[str, Mapping[str, Any]] = {
    "code_interpreter_call": {"code": "", "container_id": "", "outputs": None, "status": "completed"},
    "file_search_call": {"queries": [], "results": None, "status": "completed"},
    "mcp_call": {"server_label": "", "name": "", "arguments": "", "output": None, "error": None},
    "mcp_list_tools": {"server_label": "", "tools": []},
    "web_search_call": {"action": None, "results": None, "status": "completed"},
}
"""The fields without which this server's own tools could not read these items, and their defaults."""


class PassedItems:
    """Reads such items of one answer, with their events. `origin` names the upstream and its model.

    An item keeps its fields, within bounds. It is marked, so that it goes back to the upstream as it was.
    What cannot be kept is named in a notice.
    """

    def __init__(self, items: Items, origin: str) -> None:
        self._items = items
        self._origin = origin
        self._open: set[Key] = set()
        self._refused: set[Key] = set()

    def holds(self, key: Key) -> bool:
        """Return whether an item is one of these, and is open."""
        return key in self._open

    def added(self, item: Any, key: Key) -> Deltas:
        """Begin an item."""
        if key not in self._open and key not in self._refused:
            yield from self._begun(item, key)

    def _begun(self, item: Any, key: Key) -> Deltas:
        try:
            kept = self._kept(item)
        except ValueError as error:
            self._refused.add(key)
            yield Notice(NOT_KEPT.format(shortened(item.type), error))
            return
        self._open.add(key)
        yield UpstreamItem(str(key), kept)

    def event(self, event: Any, key: Key) -> Deltas:
        """Pass on an event of an open item; other events of the item are dropped."""
        kind = event.type
        if not _EVENT.fullmatch(kind) or kind.startswith(_OF_OTHERS):
            return
        fields = {name: value for name, value in event.to_dict().items() if _NAME.fullmatch(name)}
        if why := _unbounded(fields):
            yield Notice(NOT_KEPT.format(shortened(kind), why))
        else:
            yield UpstreamEvent(str(key), fields)

    def done(self, item: Any, key: Key) -> Deltas:
        """End an item, which begins now if no event has begun it."""
        yield from self.added(item, key)
        if key not in self._open:
            return
        self._open.discard(key)
        try:
            yield UpstreamItemDone(str(key), self._kept(item))
        except ValueError as error:
            yield Notice(NOT_KEPT.format(shortened(item.type), error))

    def _kept(self, item: Any) -> dict[str, Any]:
        """Return the item as this server keeps it. Raises `ValueError` with the reason if it cannot be."""
        fields: dict[str, Any] = item.to_dict(mode="json", warnings=False)
        kind, given = fields["type"], fields.get("id")
        if not _NAME.fullmatch(kind):
            raise ValueError("its type is not a name")
        if _is_clients(kind) or (kind == "mcp_call" and fields.get("server_label") == SERVER_LABEL):
            raise ValueError("only this server or its clients can make it")
        if why := _unbounded(fields):
            raise ValueError(why)
        shape = _SHAPES.get(kind)
        fields.pop("agent_kernel", None)
        own: dict[str, Any] = {"origin": self._origin} | ({"id": given} if isinstance(given, str) else {})
        if shape is not None:
            made = _shaped(kind, fields, shape)
            own |= {"added": added} if (added := [name for name in made if name not in fields]) else {}
            fields = made
        return {**fields, "agent_kernel": {UPSTREAM: own}}


def _is_clients(kind: str) -> bool:
    return kind in _FROM_CLIENTS or catalogue().of_output(kind) not in (None, catalogue().of_call(kind))


def _shaped(kind: str, fields: Mapping[str, Any], shape: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item of a type that this server reads, whole and of the right types."""
    given = {name: value for name, value in fields.items() if value is not None}
    made = {**fields, **shape, **given}
    if kind == "mcp_call":  # an upstream cannot carry out what was asked here
        made["approval_request_id"] = None
    made.pop("call_id", None)
    tool = catalogue().of_call(kind)
    try:
        if kind != "web_search_call":  # real ones have sources that the package's type lacks
            check(kind, made)
        if tool is not None:
            tool.check_item({**made, "id": kind}, kind)
    except InvalidRequest as error:
        raise ValueError(f"it has another form than the API's, {error.message.rstrip('.')}") from None
    return made


def _unbounded(value: Any) -> str | None:
    """Return why a value is not kept, None if it is within bounds. Takes time up to the bounds only."""
    left, values = MOST_CHARACTERS, MOST_VALUES
    level: list[Any] = [value]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for each in level:
            if isinstance(each, str):
                left -= len(each)
            elif isinstance(each, dict):
                if not all(isinstance(key, str) and not key.startswith("_") for key in each):
                    return "a name in it begins with _"
                left -= sum(map(len, each))
                below += each.values()
            elif isinstance(each, list):
                below += each
        values -= len(below)
        if left < 0 or values < 0:
            return "it is too large"
        if not below:
            return None
        level = below
    return "it is nested too deeply"
