"""The fields of items that are shown only if `include` names them; see `Tool.optional_fields`.

The store has them always, and so have models. What a client gets passes through here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeVar, cast

from openai import BaseModel
from openai.types.responses import Response, ResponseStreamEvent

from agent_kernel.store.rows import Rows
from agent_kernel.tools.catalogue import catalogue

Json = Mapping[str, Any]
Events = AsyncGenerator[ResponseStreamEvent, None]
T = TypeVar("T")


class Included:
    """What the items of one answer show. `names` are those in `include`."""

    def __init__(self, names: Collection[str] = ()) -> None:
        self._hidden = {
            kind: [field for name, field in fields.items() if name not in names]
            for kind, fields in catalogue().optional_fields.items()
        }

    def item(self, item: T) -> T:
        """Return an item, an object or JSON, with null for each field that is not shown."""
        fields = self._hidden.get(_get(item, "type"))
        changes: dict[str, Any] = {}
        for field in fields or ():
            outer, _, inner = field.partition(".")
            known = _get(item, outer)
            if inner and _get(known, inner) is not None:
                changes[outer] = _with(known, inner, None)
            elif not inner and known is not None:
                changes[outer] = None
        if not changes:
            return item
        if isinstance(item, BaseModel):
            return item.model_copy(update=changes)
        return {**item, **changes}  # type: ignore[dict-item, return-value]

    def response(self, response: Response) -> Response:
        """Return the response with its items as they are shown."""
        output = list(response.output)
        shown = [self.item(each) for each in output]
        if all(new is old for new, old in zip(shown, output, strict=True)):
            return response
        return response.model_copy(update={"output": shown})

    def event(self, event: ResponseStreamEvent) -> ResponseStreamEvent:
        """Return an event with its item or its response as they are shown. A new item has nothing to hide."""
        if event.type == "response.output_item.done":
            return cast("ResponseStreamEvent", _with(event, "item", self.item(event.item)))
        response = getattr(event, "response", None)
        if isinstance(response, Response):
            return cast("ResponseStreamEvent", _with(event, "response", self.response(response)))
        return event

    def hides(self, kinds: Collection[str]) -> bool:
        """Return whether items of one of these types have fields that are not shown."""
        return any(self._hidden.get(kind) for kind in kinds)

    async def events(self, source: Events) -> Events:
        """Yield the events as they are shown. Closing it closes `source`."""
        async with aclosing(source) as events:
            async for event in events:
                yield self.event(event)


async def with_hidden_fields(items: Sequence[Json], store: Rows) -> Sequence[Json]:
    """Return input items with the fields that their client was not shown, taken from the stored items."""
    optional = catalogue().optional_fields
    found: list[Json] = []
    for item in items:
        names = optional.get(item["type"], {}).values()
        missing = {name.partition(".")[0] for name in names if _value(item, name) is None}
        stored = await store.item(item["id"]) if missing and item.get("id") else None
        if stored is not None and stored["type"] == item["type"]:
            item = {**item, **{name: stored.get(name) for name in missing}}
        found.append(item)
    return found


def _value(item: Any, name: str) -> Any:
    outer, _, inner = name.partition(".")
    return _get(_get(item, outer), inner) if inner else _get(item, outer)


def _get(item: Any, name: str) -> Any:
    return item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)


def _with(whole: Any, name: str, value: Any) -> Any:
    if isinstance(whole, Mapping):
        return {**whole, name: value}
    return whole if getattr(whole, name) is value else whole.model_copy(update={name: value})
