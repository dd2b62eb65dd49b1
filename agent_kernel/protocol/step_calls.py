"""The calls of a response: those of the model's last step, and which of them still need an output.

A call is known by its key, see `calls.call_key`. If call and output are one item (`CallKind.one_item`), the
item stays open while the call waits and runs: it is held here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent_kernel.protocol import items as t
from agent_kernel.protocol.calls import CallItem, CallKind, OutputDraft, call_key
from agent_kernel.protocol.items import to_json
from agent_kernel.protocol.response import ResponseSnapshot


@dataclass(frozen=True)
class HeldCall:
    """A complete call whose item is open: at `index`, added by the event with the number `added_at`."""

    index: int
    added_at: int
    item: CallItem

    def added(self) -> Mapping[str, Any]:
        """Return the event that added the item, as if the call had been whole then: for the journal."""
        return {
            "type": "response.output_item.added",
            "output_index": self.index,
            "sequence_number": self.added_at,
            "item": to_json(self.item),
        }


class StepCalls(ResponseSnapshot):
    """The part of an assembler that knows the calls, but writes no item."""

    def __init__(self, response: t.Response) -> None:
        super().__init__(response)
        self._call_ids: set[str] = set()
        self._step: list[CallItem] = []  # the calls of the current step
        self._whole: set[str] = set()  # keys of held calls, also after their end
        self._held: dict[str, HeldCall] = {}
        self._rejected = 0  # calls that the current step rejected
        self._rejections: dict[str, str] = {}  # why, of those with an item of their tool
        self._kinds: dict[str, CallKind] = {}
        self._unanswered: dict[str, CallItem] = {}
        self._outputs: dict[str, OutputDraft] = {}

    def _forget_step(self) -> None:
        self._step, self._rejected = [], 0

    def calls(self) -> list[CallItem]:
        """List the complete or rejected calls of the last step that still need an output, in order.

        A call in which the model was cut off is not listed, because it must not run.
        """
        return [
            each
            for each in self.last_calls()
            if (key := call_key(each)) in self._unanswered
            and (self._is_complete(each) or self.rejection(key))
        ]

    def held(self, call: CallItem) -> HeldCall | None:
        """Return the open item of a call that has not begun to run, None if its output is another item."""
        return self._held.get(call_key(call))

    def held_calls(self) -> list[Mapping[str, Any]]:
        """Return the calls of the last step whose items are open, as JSON."""
        return [to_json(each) for each in self._step if call_key(each) in self._held]

    def rejected(self) -> int:
        """Return how many calls of the last step were rejected."""
        return self._rejected

    def accepted(self) -> bool:
        """Return whether the last step made a call that was not rejected."""
        return any(self._is_complete(each) for each in self._step)

    def rejection(self, key: str) -> str | None:
        """Return why a call must not run, although it has an item of its tool. None: it may run."""
        return self._rejections.get(key)

    def client_calls(self) -> list[CallItem]:
        """List the complete calls of the last step to tools that the client runs, in order."""
        return [
            each for each in self._step if self.kind_of(call_key(each)).by_client and self._is_complete(each)
        ]

    def last_calls(self) -> list[CallItem]:
        """List the calls of the last step to tools of this server, with and without output."""
        return [each for each in self._step if not self.kind_of(call_key(each)).by_client]

    def kind_of(self, key: str) -> CallKind:
        """Return the tool of a call made or adopted in this response. Raises `KeyError` for any other."""
        return self._kinds[key]

    def adopt(self, kind: CallKind, call: CallItem) -> None:
        """Take over a call of an earlier response. Its output will be an item of this response."""
        key = call_key(call)
        self._call_ids.add(key)
        self._kinds[key] = kind
        self._unanswered[key] = call

    def finished(self, events: list[t.ResponseStreamEvent]) -> CallItem:
        """Return the item that these events of `close_output` finished."""
        return self._finished[events[-1].output_index]  # type: ignore[union-attr]

    def _take(self, call: CallItem) -> None:
        if self._unanswered.pop(call_key(call), None) is None:
            raise RuntimeError(f"The call {call_key(call)} is unknown or has an output already.")

    def _is_complete(self, item: CallItem) -> bool:
        return bool(item.status == "completed") or call_key(item) in self._whole
