"""The base class of tools whose call and output are one item, as in the standard's `code_interpreter_call`.

The item is open from the first event of the call to the end of the output:

1. The tool's `CallDraft` writes the call. Its `added` may emit more events, such as `in_progress`.
2. Once the call is complete, its item is held: with the status `in_progress`, and not yet in the response.
3. When the call runs, the tool's `OutputDraft` continues the item, with all fields that the call had. `begun`
   returns the events that say so. `done` may emit another before the last, such as `completed`.

A call that waits for an approval ends as incomplete. Once it is approved or denied, the answering response
has a new item with the same call. Its field `agent_kernel.approval_request_id` names the request.

The item has no `call_id`: it is known by its `id`. Models have no such form, so they get each item as a call
and an output; see `split` and `expanded`.
"""

from __future__ import annotations

import operator
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.calls import is_rejected, json_key
from agent_kernel.protocol.citations import CitedFile, CitedPage
from agent_kernel.protocol.deltas import made_upstream
from agent_kernel.tools.base import Tool
from agent_kernel.tools.catalogue import catalogue

Json = Mapping[str, Any]

NO_END = "The call did not run to its end."
"""What the model reads as the result of a call that has none."""


class OneItemTool(Tool):
    """A tool with one item per call. It has no native form at upstreams: there the upstream would run it.

    Its call drafts must have the fields of `CallStart.labels`, and its output drafts all fields of the call.
    """

    one_item = True
    id_prefix: ClassVar[str]
    """Prefix of the ids of its items."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "call_type" in cls.__dict__:
            cls.output_type = f"{cls.call_type}_output"  # only models see items of this type
            cls.id_prefixes = (cls.id_prefix, cls.id_prefix)

    @abstractmethod
    def call_fields(self, item: Json) -> Json:
        """Return the fields of an item that belong to the call."""

    @abstractmethod
    def told(self, item: Json) -> str:
        """Return the output of an item as text for a model. It may have none: see `NO_END`."""

    def split(self, item: Json) -> tuple[Json, Json]:
        key = json_key(item)
        call = {"type": self.call_type, "call_id": key, **self.call_fields(item)}
        return call, self.pair_output(item, self.told(item))

    def pair_output(self, item: Json, text: str) -> Json:
        """Return the output of a call in the form that models get, with this text."""
        return {"type": self.output_type, "call_id": json_key(item), "output": text}

    def check_item(self, item: Json, where: str) -> None:
        if item["type"] != self.call_type:
            raise InvalidRequest(
                f"{where}.type must not be {item['type']}: a {self.call_type} holds its output.",
                param=f"{where}.type",
            )
        if not isinstance(item.get("id"), str) or not item["id"]:
            raise InvalidRequest(f"{where}.id must be the id of the item.", param=f"{where}.id")

    def result(self, output: Json) -> str:
        return str(output["output"])

    def unanswered(self, call: Json, why: str) -> str:
        return why

    def interrupted_call(self, item: Json, parts: Sequence[str]) -> Json:
        return self.interrupted_output(item, None, ())


def one_item_of(item: Json) -> OneItemTool | None:
    """Return the tool of an item that holds a call with its output; None for any other item."""
    if "call_id" in item or is_rejected(item):  # split already, or no tool's
        return None
    tool = catalogue().of_call(str(item.get("type") or "message"))
    return tool if isinstance(tool, OneItemTool) else None


def expanded(items: Sequence[Json], *, all_of_them: bool = True) -> list[Json]:
    """Return the items with each call that holds its output as two items, and only once.

    Each call has a `call_id` then, and so has its output. Without `all_of_them`, items that an upstream made
    with a tool of its own stay whole: it gets them back as they were.
    """
    items = _with_call_ids(items)
    if catalogue().one_item_types.isdisjoint(map(operator.methodcaller("get", "type"), items)):
        return list(items)
    found: list[Json] = []
    seen: set[str] = set()
    for item in items:
        tool = one_item_of(item)
        if tool is None or (not all_of_them and made_upstream(item) is not None):
            found.append(item)
        elif (key := json_key(item)) not in seen:
            seen.add(key)
            found += tool.split(item)
    return found


def _with_call_ids(items: Sequence[Json]) -> Sequence[Json]:
    """Give calls without a `call_id` their items' ids, and their outputs too, which follow in order."""
    if not any(item.get("call_id", "") is None for item in items):
        return items
    waiting: list[Json] = []
    found: list[Json] = []
    for item in items:
        kind = str(item.get("type") or "message")
        if item.get("call_id", "") is not None:
            found.append(item)
        elif catalogue().of_call(kind) is not None:
            waiting.append(item)
            found.append({**item, "call_id": item["id"]})
        elif waiting:  # an output without its call is of no use
            found.append({**item, "call_id": waiting.pop(0)["id"]})
    return found


def transcript_of(item: Json) -> Iterator[str]:
    """Yield the lines that tell of an item of any tool here, as in a summary. Others have none."""
    if (whole := one_item_of(item)) is not None:
        for part in whole.split(item):
            yield from whole.transcript(part)
    elif (tool := catalogue().of_item(str(item.get("type")))) is not None:
        yield from tool.transcript(item)


def sources_in(items: Sequence[Json]) -> Iterator[CitedFile | CitedPage]:
    """Yield what messages after these items may cite; see `Tool.sources`."""
    for item in items:
        if (tool := one_item_of(item)) is not None:
            yield from tool.sources(item)


def approval_of(item: Json) -> str | None:
    """Return the approval request that this item carried out, None if there is none."""
    ours = item.get("agent_kernel")
    value = item.get("approval_request_id") if item.get("type") == "mcp_call" else None
    if value is None and isinstance(ours, Mapping):
        value = ours.get("approval_request_id")
    return value if isinstance(value, str) else None
