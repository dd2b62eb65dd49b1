"""The assembler: turns a model's deltas into Responses API events, without I/O.

One table, `states.TRANSITIONS`, has the permitted order. Each item's draft orders the events inside the item;
tools provide the drafts of their calls. A turn goes: `begin`, then for each step of the model `feed`* and
`end_step`, then for each call `open_output`, `output`*, `close_output`, and at last one of `complete`,
`incomplete`, `fail`. Any other order raises `RuntimeError`: that is a bug, never the fault of a model.

A call and its output are two items, or one (`CallKind.one_item`). One item stays open from the call's first
event to the end of its output, and other items may begin and end meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from openai.types.responses.response import IncompleteDetails

from agent_kernel.protocol import items as t
from agent_kernel.protocol.calls import (
    CallDelta,
    CallDone,
    CallDraft,
    CallItem,
    CallStart,
    OutputDraft,
    RejectedCall,
    call_key,
    check_call,
    rejected_item,
)
from agent_kernel.protocol.citations import Citations
from agent_kernel.protocol.deltas import (
    AnnotationDelta,
    MessagePhase,
    ModelDelta,
    Notice,
    ReasoningDelta,
    ReasoningOpaque,
    RefusalDelta,
    TextDelta,
    Truncated,
    UpstreamEvent,
    UpstreamItem,
    UpstreamItemDone,
    Usage,
)
from agent_kernel.protocol.drafts import Draft, Events, Final, MessageDraft, ReasoningDraft, whole_item
from agent_kernel.protocol.malformed import malformed
from agent_kernel.protocol.open_items import OpenItems
from agent_kernel.protocol.response import any_value, error_event, total_usage, totals
from agent_kernel.protocol.states import Act, State, follow
from agent_kernel.protocol.step_calls import HeldCall

D = TypeVar("D", bound=Draft)


class Assembler(OpenItems):
    """A response while it is created. Use from one task at a time.

    `container_id` applies to calls that begin after it is set. `truncated` is the reason of the current
    step's `Truncated`. `citations` must be looked up before a message ends.
    """

    def __init__(self, response: t.Response, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(response)
        self.container_id: str | None = None
        self.citations = Citations()
        self.truncated: str | None = None
        self._clock = clock
        self._open: Draft | None = None
        self._step_ended = False
        self._usage: list[Usage] = []

    # -- the model's step ---------------------------------------------------------------------------------

    def feed(self, delta: ModelDelta) -> Events:
        """Return the events of one delta; an empty text has none.

        Raises `MalformedModelOutput` for a call that cannot be assembled: it reuses a call id, its parts are
        out of order or differ from what was streamed, or it has no part or no end. No event is emitted for
        it, and `fail` can end the stream.
        """
        if self._step_ended:
            self._forget_step()
            self._step_ended, self.truncated = False, None
        if isinstance(delta, Usage | Truncated | Notice):
            return self._note(delta)
        if isinstance(delta, UpstreamEvent | UpstreamItemDone):
            return self._pass(delta)
        if isinstance(delta, ReasoningDelta | TextDelta | RefusalDelta) and not delta.text:
            return []
        if isinstance(delta, RejectedCall):
            return self._reject(delta)
        self._check(delta)
        state = follow(self._state, type(delta))
        events = [] if self._continues(state, delta) else self._leave()
        self._state = state
        return events + self._write(delta)

    def end_step(self) -> Events:
        """End the model's step. Close the open item, as incomplete if the model was cut off.

        Afterwards `calls` and `client_calls` return the calls of this step, until the next delta is fed.
        Raises `MalformedModelOutput` if the step ends in the middle of a call without being cut off.
        """
        if self._step_ended:  # a step without a delta
            self._forget_step()
            self.truncated = None
        state = follow(self._state, Act.END_STEP)
        events = self._leave() + self._end_passed()
        self._state = state
        self._step_ended = True
        return events

    def usage(self) -> t.ResponseUsage:
        """Return the tokens of all steps so far, as reported by the model."""
        return total_usage(self._usage)

    def insert(self, item: Mapping[str, Any], usage: Usage | None = None) -> Events:
        """Add a finished item that no model produced, between two steps. `usage` is its cost in tokens."""
        follow(self._state, Act.OUTPUT)
        self._usage += [usage] if usage is not None else []
        return self._add(item)

    def hand_over(self, call: CallItem) -> Events:
        """Leave a call to the client, or to an approval that a later turn's input brings.

        Its output comes in another response. If it were part of the call's item, the item ends as incomplete.
        """
        follow(self._state, Act.OUTPUT)
        self._take(call)
        held = self._held.pop(call_key(call), None)
        return [] if held is None else self._finish(self._continued(held), "incomplete")

    def put_off(self, key: str) -> Events:
        """Hand over a call that waits for an approval, unless that is done."""
        call = self._unanswered.get(key)
        return [] if call is None else self.hand_over(call)

    # -- the outputs of calls -----------------------------------------------------------------------------

    def open_output(self, call: CallItem, *, runs: bool = True) -> Events:
        """Begin the output of a call. The outputs of several calls may be open at once.

        `runs` False: the call is refused, so an item that holds call and output does not say that it runs.
        """
        follow(self._state, Act.OUTPUT)
        self._take(call)
        return self._open_output(call, runs=runs)

    def output(self, call_id: str, piece: Any) -> Events:
        """Return the events of one piece of output; the tool's `OutputDraft` defines the pieces."""
        return self._output(call_id).write(piece)

    def close_output(self, call_id: str, status: Final = "completed") -> Events:
        """Finish the output item. A sentence replaces each part that is missing."""
        draft = self._output(call_id)
        events = draft.close_unfinished(UNFINISHED)
        del self._outputs[call_id]
        return events + self._finish(draft, status)

    # -- the end ------------------------------------------------------------------------------------------

    def complete(self) -> Events:
        """Emit `response.completed` with the usage of all steps, which is zero if no step reported any.

        Calls without an opened output keep none: the client runs them, or they wait.
        """
        if self._outputs or self._held:
            raise RuntimeError("A response with an open output cannot be complete.")
        self._unanswered.clear()
        events = self._settle("completed", "")
        self._update(status="completed", completed_at=int(self._clock()))
        return [*events, self._about(t.ResponseCompletedEvent, "response.completed")]

    def incomplete(self, reason: str) -> Events:
        """Emit `response.incomplete`, with `reason` in its `incomplete_details`.

        First close the open item as incomplete, and give each call without an output one, so that the chain
        can be continued.
        """
        opening = self.begin() if self._state is State.NEW else []
        events = opening + self._settle("incomplete", f"The command was stopped or not begun ({reason}).")
        self._update(
            status="incomplete", incomplete_details=IncompleteDetails.construct(reason=any_value(reason))
        )
        return [*events, self._about(t.ResponseIncompleteEvent, "response.incomplete")]

    def cancel(self) -> Events:
        """Close what is open, as `incomplete` does, and set the status `cancelled`.

        The API has no such event: the last one is `response.incomplete`, and its response has the status.
        """
        opening = self.begin() if self._state is State.NEW else []
        events = opening + self._settle("incomplete", "The command was stopped or not begun: cancelled.")
        self._update(status="cancelled")
        return [*events, self._about(t.ResponseIncompleteEvent, "response.incomplete")]

    def fail(self, *, code: str, message: str, **about: str) -> Events:
        """Close what is open, as `incomplete` does, then emit `error` and `response.failed`.

        Begins the stream first if `begin` was not called. `about`: see `error_event`.
        """
        opening = self.begin() if self._state is State.NEW else []
        why = "The command was stopped or not begun: the turn failed."
        events = opening + self._settle("incomplete", why)
        self._update(status="failed", error=t.ResponseError.construct(code=any_value(code), message=message))
        error = error_event(code, message, next(self._numbers), **about)
        return [*events, error, self._about(t.ResponseFailedEvent, "response.failed")]

    def _note(self, delta: Usage | Truncated | Notice) -> Events:
        if self._state in (State.NEW, State.ENDED):
            raise RuntimeError(f"{type(delta).__name__} is not possible in state {self._state.name}.")
        if isinstance(delta, Usage):
            self._usage.append(delta)
        elif isinstance(delta, Notice):
            self.notice(delta.text)
        else:
            self.truncated = delta.reason
        return []

    def _continues(self, state: State, delta: ModelDelta) -> bool:
        if state is not self._state:
            return False
        if isinstance(delta, CallDelta | CallDone):
            return self._call(delta.call_id) is not None
        return True

    def open_call(self) -> CallDraft | None:
        """Return the call that the model has begun and not ended."""
        return self._open if isinstance(self._open, CallDraft) else None

    def _call(self, call_id: str) -> CallDraft | None:
        draft = self._open
        return draft if isinstance(draft, CallDraft) and draft.call_id == call_id else None

    def _check(self, delta: ModelDelta) -> None:
        if isinstance(delta, CallDelta | CallDone):
            draft = self._call(delta.call_id)
            if draft is None and delta.call_id in self._call_ids:
                malformed(delta.call_id, "it uses the id of an earlier call")
            check_call(self._kinds.get(delta.call_id), delta, draft)

    def _write(self, delta: ModelDelta) -> Events:
        match delta:
            case ReasoningDelta(text, part):
                draft, events = self._draft(ReasoningDraft)
                return events + draft.write(text, part)
            case ReasoningOpaque(encrypted_content):
                draft, events = self._draft(ReasoningDraft)
                draft.encrypted_content = encrypted_content
                return events
            case TextDelta(text, logprobs):
                message, events = self._draft(MessageDraft, self.citations)
                return events + message.write("text", text, logprobs)
            case AnnotationDelta(annotation):
                self.citations.give(annotation)
                return self._draft(MessageDraft, self.citations)[1]
            case RefusalDelta(text):
                message, events = self._draft(MessageDraft, self.citations)
                return events + message.write("refusal", text)
            case MessagePhase(phase):
                message, events = self._draft(MessageDraft, self.citations)
                message.phase = phase
                return events
            case UpstreamItem():
                return self._begin_passed(delta)
            case CallDelta():
                call, events = self._call_draft(delta)
                return events + call.write(delta.part, delta.text)
            case CallDone():
                call, events = self._call_draft(delta)
                events += call.complete(delta)
                events += self._hold(call) if delta.tool.one_item else self._close("completed")
                self._state = State.BETWEEN
                return events
        return []

    def _reject(self, delta: RejectedCall) -> Events:
        """Add the item of a rejected call. One that was streamed keeps its item, which ends incomplete."""
        state = follow(self._state, RejectedCall)
        draft, self._rejected = self._call(delta.call_id), self._rejected + 1
        if draft is not None and self.kind_of(delta.call_id).one_item:
            self._state = state
            return self._close_rejected(draft, delta.why)
        events = self._leave() if draft is None else self._close("incomplete")
        self._state = state
        if draft is not None and not self.kind_of(delta.call_id).by_client:
            self._rejections[delta.call_id] = delta.why
            return events
        return events + self._add(rejected_item(delta))

    def _add(self, item: Mapping[str, Any]) -> Events:
        index, made = next(self._indices), t.item_of(item)
        self._keep(index, made)
        return whole_item(index, made, self._numbers)

    def _call_draft(self, delta: CallDelta | CallDone) -> tuple[CallDraft, Events]:
        if isinstance(self._open, CallDraft):
            return self._open, []
        start = CallStart(delta.call_id, delta.name, self.container_id, delta.labels)
        draft = delta.tool.call_draft(next(self._indices), self._numbers, start)
        self._open = draft
        self._call_ids.add(delta.call_id)
        self._kinds[delta.call_id] = delta.tool
        events = draft.added()
        draft.added_at = events[0].sequence_number
        return draft, events

    def _draft(self, kind: type[D], *arguments: Any) -> tuple[D, Events]:
        if isinstance(self._open, kind):
            return self._open, []
        draft = kind(next(self._indices), self._numbers, *arguments)
        self._open = draft
        return draft, draft.added()

    def _leave(self) -> Events:
        """Close the open item, because the model begins another one or ends its step."""
        if self.truncated is not None:
            return self._close("incomplete")
        if isinstance(self._open, CallDraft) and not self._open.ends_open:
            malformed(self._open.call_id, "it is cut off")
        return self._close("completed")

    def _close(self, status: Final) -> Events:
        draft, self._open = self._open, None
        if draft is None:
            return []
        return draft.close_parts() + self._finish(draft, status)

    def _finish(self, draft: Draft, status: Final) -> Events:
        item = draft.item(status)
        if isinstance(draft, CallDraft):
            self._add_call(draft, item, needs_output=not self._kinds[draft.call_id].one_item)
        self._keep(draft.index, item)
        return draft.done(item)

    def _add_call(self, draft: CallDraft, item: CallItem, *, needs_output: bool) -> None:
        kind = self._kinds[draft.call_id]
        self._kinds[call_key(item)] = kind
        self._step.append(item)
        if needs_output and not kind.by_client:
            self._unanswered[call_key(item)] = item

    def _hold(self, draft: CallDraft) -> Events:
        """Keep the item of a complete call open for its output."""
        self._open = None
        events, item = draft.close_parts(), draft.item("in_progress")
        self._add_call(draft, item, needs_output=True)
        self._held[call_key(item)] = HeldCall(draft.index, draft.added_at, item)
        self._whole.add(call_key(item))
        return events

    def _close_rejected(self, draft: CallDraft, why: str) -> Events:
        self._open = None
        events, item = draft.close_parts(), draft.item("in_progress")
        self._add_call(draft, item, needs_output=False)
        output = self._continued(HeldCall(draft.index, draft.added_at, item))
        return events + output.close_unfinished(why) + self._finish(output, "incomplete")

    def _continued(self, held: HeldCall) -> OutputDraft:
        return self.kind_of(call_key(held.item)).output_draft(held.index, self._numbers, held.item)

    def _open_output(self, call: CallItem, *, runs: bool) -> Events:
        key = call_key(call)
        held = self._held.pop(key, None)
        if held is not None:
            self._outputs[key] = draft = self._continued(held)
            return draft.begun() if runs else []
        self._outputs[key] = draft = self.kind_of(key).output_draft(next(self._indices), self._numbers, call)
        return draft.added(draft.added_as)

    def _output(self, call_id: str) -> OutputDraft:
        follow(self._state, Act.OUTPUT)
        try:
            return self._outputs[call_id]
        except KeyError:
            raise RuntimeError(f"No output of {call_id} is open.") from None

    def _settle(self, status: Final, why: str) -> Events:
        """Close all open items and give every call an output, before the last event."""
        state = follow(self._state, Act.END)
        events = self._close(status) + self._end_passed()
        for call in list(self._unanswered.values()):
            events += self._open_output(call, runs=False)
        for draft in self._outputs.values():
            events += draft.close_unfinished(why) + self._finish(draft, "incomplete")
        events += [event for each in list(self._others.values()) for event in self.close_item(each)]
        self._unanswered.clear()
        self._outputs.clear()
        self._state = state
        self._update(**totals(self.response, self._usage))
        return events


UNFINISHED = "The command did not run to its end."
"""The text of an output in place of a missing part."""
