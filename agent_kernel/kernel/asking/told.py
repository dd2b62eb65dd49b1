"""Events that are not shown, because the line about the user's decision tells them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agent_kernel.kernel.asking.network import is_during_turn


class ToldByDecision:
    """Finds the events of requests for approval, and of the outputs of calls denied in this cell."""

    def __init__(self) -> None:
        self._denied: set[str] = set()
        self._indices: set[int] = set()

    def add(self, asked: Iterable[Mapping[str, Any]], answers: Iterable[Mapping[str, Any]]) -> None:
        """Take the requests of a response and their answers, in the same order."""
        for item, answer in zip(asked, answers, strict=True):
            ours = item.get("agent_kernel")
            if not answer["approve"] and isinstance(ours, Mapping):
                self._denied.add(str(ours.get("call_id")))

    def hides(self, event: Any) -> bool:
        """Return whether an event is about such an item. Call it for every event of a turn, in order."""
        if event.type == "response.created":
            self._indices.clear()
        elif event.type == "response.output_item.added":
            item = as_json(event.item)
            if asks_about_call(item) or self._is_denied(item):
                self._indices.add(event.output_index)
        return getattr(event, "output_index", None) in self._indices

    def _is_denied(self, item: Mapping[str, Any]) -> bool:
        return str(item.get("type")).endswith("_output") and str(item.get("call_id")) in self._denied


def asks_about_call(item: Mapping[str, Any]) -> bool:
    """Return whether an item asks about a call, of this runtime's tools or of an MCP server's."""
    return item.get("type") == "mcp_approval_request" and not is_during_turn(item)


def as_json(item: Any) -> Mapping[str, Any]:
    """Return an item as JSON."""
    return item if isinstance(item, Mapping) else item.to_dict(mode="json", warnings=False)
