"""The assembler: turns a model's deltas into Responses API events, without I/O.

One table, `states.TRANSITIONS`, has the permitted order. Each item's draft orders the events inside the item;
tools provide the drafts of their calls. A turn goes: `begin`, then for each step of the model `feed`* and
`end_step`, then for each call `open_output`, `output`*, `close_output`, and at last one of `complete`,
`incomplete`, `fail`. Any other order raises `RuntimeError`: that is a bug, never the fault of a model.
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
    CallKind,
    CallStart,
    OutputDraft,
    RejectedCall,
    check_call,
    rejected_item,
)
from agent_kernel.protocol.citations import Citations
from agent_kernel.protocol.deltas import (
    MessagePhase,
    ModelDelta,
    Notice,
    ReasoningDelta,
    ReasoningOpaque,
    RefusalDelta,
    TextDelta,
    Truncated,
    Usage,
)
from agent_kernel.protocol.drafts import Draft, Events, Final, MessageDraft, ReasoningDraft, whole_item
from agent_kernel.protocol.failed import error_event
from agent_kernel.protocol.malformed import malformed
from agent_kernel.protocol.response import ResponseSnapshot
from agent_kernel.protocol.states import Act, State, follow
from agent_kernel.protocol.usage import total_usage

D = TypeVar("D", bound=Draft)


class Assembler(ResponseSnapshot):
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
        self._call_ids: set[str] = set()
        self._step: list[CallItem] = []  # the calls of the current step
        self._rejected = 0  # calls that the current step rejected
        self._rejections: dict[str, str] = {}  # why, of those with an item of their tool
        self._step_ended = False
        self._usage: list[Usage] = []
        self._kinds: dict[str, CallKind] = {}
        self._unanswered: dict[str, CallItem] = {}
        self._outputs: dict[str, OutputDraft] = {}

    # -- the model's step ---------------------------------------------------------------------------------

    def feed(self, delta: ModelDelta) -> Events:
        """Return the events of one delta; an empty text has none.

        Raises `MalformedModelOutput` for a call that cannot be assembled: it reuses a call id, its parts are
        out of order or differ from what was streamed, or it has no part or no end. No event is emitted for
        it, and `fail` can end the stream.
        """
        if self._step_ended:
            self._step, self._step_ended, self._rejected, self.truncated = [], False, 0, None
        if isinstance(delta, Usage | Truncated | Notice):
            return self._note(delta)
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
            self._step, self._rejected, self.truncated = [], 0, None
        state = follow(self._state, Act.END_STEP)
        events = self._leave()
        self._state = state
        self._step_ended = True
        return events

    def calls(self) -> list[CallItem]:
        """List the complete or rejected calls of the last step that still need an output, in order.

        A call in which the model was cut off is not listed, because it must not run.
        """
        return [
            each
            for each in self.last_calls()
            if each.call_id in self._unanswered and (_is_complete(each) or self.rejection(each.call_id))
        ]

    def rejected(self) -> int:
        """Return how many calls of the last step were rejected."""
        return self._rejected

    def accepted(self) -> bool:
        """Return whether the last step made a call that was not rejected."""
        return any(_is_complete(each) for each in self._step)

    def rejection(self, call_id: str) -> str | None:
        """Return why a call must not run, although it has an item of its tool. None: it may run."""
        return self._rejections.get(call_id)

    def client_calls(self) -> list[CallItem]:
        """List the complete calls of the last step to tools that the client runs, in order."""
        return [each for each in self._step if self.kind_of(each.call_id).by_client and _is_complete(each)]

    def last_calls(self) -> list[CallItem]:
        """List the calls of the last step to tools of this server, with and without output."""
        return [each for each in self._step if not self.kind_of(each.call_id).by_client]

    def kind_of(self, call_id: str) -> CallKind:
        """Return the tool of a call made or adopted in this response. Raises `KeyError` for any other."""
        return self._kinds[call_id]

    def usage(self) -> t.ResponseUsage:
        """Return the tokens of all steps so far, as reported by the model."""
        return total_usage(self._usage)

    def insert(self, item: Mapping[str, Any], usage: Usage | None = None) -> Events:
        """Add a finished item that no model produced, between two steps. `usage` is its cost in tokens."""
        follow(self._state, Act.OUTPUT)
        self._usage += [usage] if usage is not None else []
        return self._add(item)

    def adopt(self, kind: CallKind, call: CallItem) -> None:
        """Take over a call of an earlier response. Its output will belong to this response."""
        self._call_ids.add(call.call_id)
        self._kinds[call.call_id] = kind
        self._unanswered[call.call_id] = call

    def hand_over(self, call: CallItem) -> None:
        """Leave a call to the client, which runs it and sends the output as input of the next turn."""
        follow(self._state, Act.OUTPUT)
        self._take(call)

    # -- the outputs of calls -----------------------------------------------------------------------------

    def open_output(self, call: CallItem) -> Events:
        """Begin the output item of a call. The outputs of several calls may be open at once."""
        follow(self._state, Act.OUTPUT)
        self._take(call)
        return self._open_output(call)

    def output(self, call_id: str, piece: Any) -> Events:
        """Return the events of one piece of output; the tool's `OutputDraft` defines the pieces."""
        return self._output(call_id).write(piece)

    def close_output(self, call_id: str, status: Final = "completed") -> Events:
        """Finish the output item. A sentence replaces each part that is missing."""
        draft = self._output(call_id)
        events = draft.close_unfinished(UNFINISHED)
        del self._outputs[call_id]
        return events + self._finish(draft, status)

    def finished(self, events: Events) -> CallItem:
        """Return the item that these events of `close_output` finished."""
        return self._finished[events[-1].output_index]  # type: ignore[union-attr]

    # -- the end ------------------------------------------------------------------------------------------

    def complete(self) -> Events:
        """Emit `response.completed` with the usage of all steps, which is zero if no step reported any.

        Calls without an opened output keep none: the client runs them, or they wait.
        """
        if self._outputs:
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
        self._update(status="incomplete", incomplete_details=IncompleteDetails.construct(reason=_any(reason)))
        return [*events, self._about(t.ResponseIncompleteEvent, "response.incomplete")]

    def cancel(self) -> Events:
        """Close what is open, as `incomplete` does, and set the status `cancelled`.

        The API has no such event: the last one is `response.incomplete`, and its response has the status.
        """
        opening = self.begin() if self._state is State.NEW else []
        events = opening + self._settle("incomplete", "The command was stopped or not begun: cancelled.")
        self._update(status="cancelled")
        return [*events, self._about(t.ResponseIncompleteEvent, "response.incomplete")]

    def fail(self, *, code: str, message: str) -> Events:
        """Close what is open, as `incomplete` does, then emit `error` and `response.failed`.

        Begins the stream first if `begin` was not called.
        """
        opening = self.begin() if self._state is State.NEW else []
        events = opening + self._settle(
            "incomplete", "The command was stopped or not begun: the turn failed."
        )
        self._update(status="failed", error=t.ResponseError.construct(code=_any(code), message=message))
        error = error_event(code, message, next(self._numbers))
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
            case TextDelta() | RefusalDelta():
                message, events = self._draft(MessageDraft, self.citations)
                return events + message.write("text" if type(delta) is TextDelta else "refusal", delta.text)
            case MessagePhase(phase):
                message, events = self._draft(MessageDraft, self.citations)
                message.phase = phase
                return events
            case CallDelta():
                call, events = self._call_draft(delta)
                return events + call.write(delta.part, delta.text)
            case CallDone():
                call, events = self._call_draft(delta)
                events += call.complete(delta)
                events += self._close("completed")
                self._state = State.BETWEEN
                return events
        return []

    def _reject(self, delta: RejectedCall) -> Events:
        """Add the item of a rejected call. One that was streamed keeps its item, which ends incomplete."""
        state = follow(self._state, RejectedCall)
        draft = self._call(delta.call_id)
        events = self._leave() if draft is None else self._close("incomplete")
        self._state, self._rejected = state, self._rejected + 1
        if draft is not None and not self.kind_of(delta.call_id).by_client:
            self._rejections[delta.call_id] = delta.why
            return events
        return events + self._add(rejected_item(delta))

    def _add(self, item: Mapping[str, Any]) -> Events:
        index, made = next(self._indices), t.item_of(item)
        self._finished[index] = made
        self._update(output=[self._finished[each] for each in sorted(self._finished)])
        return whole_item(index, made, self._numbers)

    def _call_draft(self, delta: CallDelta | CallDone) -> tuple[CallDraft, Events]:
        if isinstance(self._open, CallDraft):
            return self._open, []
        labels = delta.labels if isinstance(delta, CallDelta) else {}
        start = CallStart(delta.call_id, delta.name, self.container_id, labels)
        draft = delta.tool.call_draft(next(self._indices), self._numbers, start)
        self._open = draft
        self._call_ids.add(delta.call_id)
        self._kinds[delta.call_id] = delta.tool
        return draft, draft.added()

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
        self._finished[draft.index] = item
        if isinstance(draft, CallDraft):
            self._step.append(item)
            if not self._kinds[draft.call_id].by_client:
                self._unanswered[draft.call_id] = item
        self._update(output=[self._finished[index] for index in sorted(self._finished)])
        return draft.done(item)

    def _take(self, call: CallItem) -> None:
        if self._unanswered.pop(call.call_id, None) is None:
            raise RuntimeError(f"The call {call.call_id} is unknown or has an output already.")

    def _open_output(self, call: CallItem) -> Events:
        draft = self.kind_of(call.call_id).output_draft(next(self._indices), self._numbers, call)
        self._outputs[call.call_id] = draft
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
        events = self._close(status)
        for call in list(self._unanswered.values()):
            events += self._open_output(call)
        for draft in self._outputs.values():
            events += draft.close_unfinished(why) + self._finish(draft, "incomplete")
        self._unanswered.clear()
        self._outputs.clear()
        self._state = state
        self._update(usage=total_usage(self._usage))
        return events


UNFINISHED = "The command did not run to its end."
"""The text of an output in place of a missing part."""


def _is_complete(item: CallItem) -> bool:
    return bool(item.status == "completed")


def _any(value: str) -> Any:
    """Return a value outside the package's enumeration: its client accepts it, its types do not."""
    return value
