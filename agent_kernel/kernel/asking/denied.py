"""The outputs of denied calls: nothing ran, and the line about the decision says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


class DeniedOutputs:
    """Finds the events of the outputs of calls that were denied in this cell."""

    def __init__(self) -> None:
        self._calls: set[str] = set()
        self._indices: set[int] = set()

    def add(self, asked: Iterable[Mapping[str, Any]], answers: Iterable[Mapping[str, Any]]) -> None:
        """Take the requests of a response and their answers, in the same order."""
        for item, answer in zip(asked, answers, strict=True):
            ours = item.get("agent_kernel")
            if not answer["approve"] and isinstance(ours, Mapping):
                self._calls.add(str(ours.get("call_id")))

    def hides(self, event: Any) -> bool:
        """Return whether an event is about such an output. Call it for every event of a turn, in order."""
        if event.type == "response.created":
            self._indices.clear()
        elif event.type == "response.output_item.added" and self._is_denied(event.item):
            self._indices.add(event.output_index)
        return getattr(event, "output_index", None) in self._indices

    def _is_denied(self, item: Any) -> bool:
        if isinstance(item, Mapping):
            kind, call_id = item.get("type"), item.get("call_id")
        else:
            kind, call_id = item.type, getattr(item, "call_id", None)
        return str(kind).endswith("_output") and str(call_id) in self._calls
