"""The assembler for a response that another process began."""

from __future__ import annotations

import itertools

from agent_kernel.protocol import items as t
from agent_kernel.protocol.assembler import Assembler
from agent_kernel.protocol.broken import BrokenCall, ResumePoint
from agent_kernel.protocol.calls import CallItem, OutputDraft, call_key
from agent_kernel.protocol.states import State
from agent_kernel.protocol.step_calls import HeldCall


class RestoredAssembler(Assembler):
    """An assembler that resumes the queued response of a dead process, between steps or in a step's calls.

    Outputs that were open are open again. Calls of the step without an output wait for one.
    """

    def __init__(self, response: t.Response, point: ResumePoint) -> None:
        super().__init__(response)
        self._queued, self._restored = True, point.begun
        self._numbers = itertools.count(point.next_number)
        indices = [*point.items, *(each.index for each in point.calls if each.index is not None)]
        self._indices = itertools.count(max(indices, default=-1) + 1)
        self._finished = {index: t.item_of(item) for index, item in point.items.items()}
        self._call_ids = {item["call_id"] for item in point.items.values() if "call_id" in item}
        self._update(output=[self._finished[index] for index in sorted(self._finished)])
        for broken in point.calls:
            self._reopen(broken)
        if point.begun:
            self._state = State.BETWEEN
            self._update(status="in_progress")

    def _reopen(self, broken: BrokenCall) -> None:
        call: CallItem = t.item_of(broken.call)
        key = call_key(call)
        self._kinds[key] = broken.kind
        self._step.append(call)
        self._step_ended = True
        if broken.kind.one_item:
            self._whole.add(key)
        if broken.index is None or broken.output is None:
            if broken.index is not None:
                self._held[key] = HeldCall(broken.index, 0, call)
            self._unanswered[key] = call
            return
        draft = broken.kind.output_draft(broken.index, self._numbers, call)
        draft.restore(broken.output, broken.events)
        self._outputs[key] = draft

    def reopened(self, key: str) -> OutputDraft | None:
        """Return the call's output that was open when the process died, or None if it had not begun."""
        return self._outputs.get(key)
