"""The item of a call: its action, and what it led to. The events have the order of OpenAI's API."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent_kernel.protocol.calls import CallStart
from agent_kernel.protocol.drafts import Events
from agent_kernel.protocol.items import ItemStatus, ResponseOutputItem, item_of
from agent_kernel.tools.one_item_drafts import FoundOutputDraft, OneItemCallDraft

Json = Mapping[str, Any]

CALL = "web_search_call"
PREFIX = "ws_"


@dataclass(frozen=True)
class WebResults:
    """What a call found: results with `url`, `title` and `text`, and `hidden` where text was left out."""

    results: Sequence[Json]


class WebCallDraft(OneItemCallDraft):
    """The item while the model writes the call: it has no action before that is complete."""

    kind, prefix = CALL, PREFIX

    def __init__(self, index: int, numbers: Iterator[int], start: CallStart) -> None:
        super().__init__(index, numbers, start)
        self._complete = False

    def item(self, status: ItemStatus) -> ResponseOutputItem:
        action = {"action": json.loads(self.texts()[0])} if self._complete else {}
        return item_of({"id": self.id, "type": CALL, "status": status, **action, **self.start.labels})

    def part_done(self, part: int, text: str) -> Events:
        self._complete = True
        return []


class WebOutputDraft(FoundOutputDraft[WebResults]):
    """The item from when the call runs."""

    kind = CALL

    def fields(self, found: WebResults | None) -> Json:
        results = None if found is None else [dict(each) for each in found.results]
        return {**with_sources(self.call, results), "results": results}


def with_sources(call: Json, results: Sequence[Json] | None) -> Json:
    """Return a call with the addresses that its search found."""
    action = call.get("action")
    if results is None or not isinstance(action, Mapping) or action.get("type") != "search":
        return call
    sources = [{"type": "url", "url": each["url"]} for each in results]
    return {**call, "action": {**action, "sources": sources}}
