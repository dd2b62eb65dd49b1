"""The length of a model's answer, which a turn limits."""

from __future__ import annotations

from agent_kernel.protocol.calls import CallDelta, CallDone, RejectedCall
from agent_kernel.protocol.deltas import ModelDelta, ReasoningDelta, RefusalDelta, TextDelta


class AnswerLength:
    """Counts the characters of an answer's deltas. A call counts once, in pieces or whole."""

    def __init__(self) -> None:
        self.characters = 0
        self._calls: dict[str, int] = {}

    def add(self, delta: ModelDelta) -> bool:
        """Count a delta. Return whether it has text."""
        match delta:
            case TextDelta() | ReasoningDelta() | RefusalDelta():
                added = len(delta.text)
            case CallDone():
                added = self._rest(delta.call_id, sum(map(len, delta.parts)))
            case RejectedCall():
                added = self._rest(delta.call_id, len(delta.arguments))
            case CallDelta():
                added = len(delta.text)
                self._calls[delta.call_id] = self._calls.get(delta.call_id, 0) + added
            case _:
                added = 0
        self.characters += added
        return added > 0

    def _rest(self, call_id: str, whole: int) -> int:
        """Return how much of a complete call had no deltas."""
        return max(0, whole - self._calls.pop(call_id, 0))
