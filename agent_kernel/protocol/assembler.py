"""From what a model says to the events of the Responses API. No I/O: deltas in, events out.

What may follow what stands in one table, `states.TRANSITIONS`. The order of the events inside an item is
the item's own affair (`drafts`, `calls`). A turn goes: `begin`, then per step of the model `feed`* and
`end_step`, then per shell call `open_output`, `output`*, `command_done` per command, `close_output`; at
last one of `complete`, `incomplete`, `fail`. Whoever breaks that order gets a `RuntimeError`: it is a
mistake in the program, never in a model or a request.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from openai.types.responses.response import IncompleteDetails

from agent_kernel.protocol import items as t
from agent_kernel.protocol.broken import ResumePoint
from agent_kernel.protocol.calls import FunctionCallDraft, ShellCallDraft, ShellOutputDraft, check_call
from agent_kernel.protocol.citations import Citations
from agent_kernel.protocol.deltas import (
    FunctionCallDelta,
    ModelDelta,
    ReasoningDelta,
    ReasoningOpaque,
    RefusalDelta,
    ShellCallDelta,
    ShellCallDone,
    TextDelta,
    Truncated,
    Usage,
)
from agent_kernel.protocol.drafts import Draft, Events, Final, MessageDraft, ReasoningDraft, whole_item
from agent_kernel.protocol.failed import error_event
from agent_kernel.protocol.malformed import malformed
from agent_kernel.protocol.states import Act, State, follow
from agent_kernel.protocol.usage import total_usage

D = TypeVar("D", bound=Draft)
A = TypeVar("A", bound=t.ResponseStreamEvent)


class Assembler:
    """One response while it is being made. Use from one task at a time.

    `response` is the snapshot so far: its `output` holds the finished items, in the order of their index.
    `container_id` is that of shell calls begun after it was set; `truncated` is the reason of the present
    step's `Truncated`. `citations` are asked and told before a message ends.
    """

    def __init__(self, response: t.Response, *, clock: Callable[[], float] = time.time) -> None:
        self.response = response
        self.container_id: str | None = None
        self.citations = Citations()
        self.truncated: str | None = None
        self._clock = clock
        self._numbers = itertools.count()
        self._indices = itertools.count()
        self._state = State.NEW
        self._queued = self._restored = False
        self._open: Draft | None = None
        self._finished: dict[int, t.ResponseOutputItem] = {}
        self._call_ids: set[str] = set()
        self._step: list[t.ResponseOutputItem] = []
        self._step_ended = False
        self._usage: list[Usage] = []
        self._unanswered: dict[str, t.ResponseFunctionShellToolCall] = {}
        self._outputs: dict[str, ShellOutputDraft] = {}

    @classmethod
    def restored(cls, response: t.Response, standing: ResumePoint) -> Assembler:
        """Go on with a queued response whose process has ended, where it stood between two steps."""
        assembler = cls(response)
        assembler._queued, assembler._restored = True, standing.begun
        assembler._numbers = itertools.count(standing.next_number)
        assembler._indices = itertools.count(len(standing.items))
        assembler._finished = {index: t.item_of(item) for index, item in standing.items.items()}
        assembler._call_ids = {item["call_id"] for item in standing.items.values() if "call_id" in item}
        assembler._update(output=[assembler._finished[index] for index in sorted(assembler._finished)])
        if standing.begun:
            assembler._state = State.BETWEEN
            assembler._update(status="in_progress")
        return assembler

    # -- the model speaks ---------------------------------------------------------------------------------

    def queue(self) -> Events:
        """Emit `response.created` and `response.queued`, both with status `queued`; `begin` comes later."""
        if self._state is not State.NEW or self._queued:
            raise RuntimeError("Only a new response can be queued.")
        self._queued = True
        self._update(status="queued")
        created = self._about(t.ResponseCreatedEvent, "response.created")
        return [created, self._about(t.ResponseQueuedEvent, "response.queued")]

    def begin(self) -> Events:
        """Emit `response.created` and `response.in_progress`; of a queued response only the latter."""
        if self._restored:
            return []
        self._state = follow(self._state, Act.BEGIN)
        opening = [] if self._queued else [self._about(t.ResponseCreatedEvent, "response.created")]
        self._update(status="in_progress")
        return [*opening, self._about(t.ResponseInProgressEvent, "response.in_progress")]

    def next_number(self) -> int:
        """Take a sequence number for an event about this response that is not the assembler's."""
        return next(self._numbers)

    def feed(self, delta: ModelDelta) -> Events:
        """Turn one delta into events; none for an empty piece of text.

        Raises `MalformedModelOutput` for a call that cannot be assembled: a call id used before, commands out
        of order or other than announced, no command at all, no end. Nothing has been emitted then, and the
        stream can be ended by `fail`.
        """
        if self._step_ended:
            self._step, self._step_ended, self.truncated = [], False, None
        if isinstance(delta, Usage | Truncated):
            return self._note(delta)
        if isinstance(delta, ReasoningDelta | TextDelta | RefusalDelta) and not delta.text:
            return []
        self._check(delta)
        state = follow(self._state, type(delta))
        events = [] if self._continues(state, delta) else self._leave()
        self._state = state
        return events + self._write(delta)

    def end_step(self) -> Events:
        """End the model's call: the open item is closed, as incomplete if the model was cut off.

        Raises `MalformedModelOutput` if it ends in the middle of a shell call without having been cut off.
        `shell_calls` and `function_calls` then give those of this step, until the next delta is fed.
        """
        if self._step_ended:  # a step in which the model said nothing at all
            self._step, self.truncated = [], None
        state = follow(self._state, Act.END_STEP)
        events = self._leave()
        self._state = state
        self._step_ended = True
        return events

    def shell_calls(self) -> list[t.ResponseFunctionShellToolCall]:
        """List the complete shell calls of the step just ended that have no output yet, in order.

        A call that the model was cut off in is not among them: it must not be run.
        """
        calls = [item for item in self._step if isinstance(item, t.ResponseFunctionShellToolCall)]
        return [call for call in calls if call.status == "completed" and call.call_id in self._unanswered]

    def function_calls(self) -> list[t.ResponseFunctionToolCall]:
        """List the complete calls of the step just ended to function tools of the client's, in order."""
        calls = [item for item in self._step if isinstance(item, t.ResponseFunctionToolCall)]
        return [call for call in calls if call.status == "completed"]

    def last_calls(self) -> list[t.ResponseFunctionShellToolCall]:
        """List the shell calls of the step just ended, answered or not."""
        return [item for item in self._step if isinstance(item, t.ResponseFunctionShellToolCall)]

    def usage(self) -> t.ResponseUsage:
        """Add up the tokens of all steps so far, as far as the model reported them."""
        return total_usage(self._usage)

    def insert(self, item: Mapping[str, Any], usage: Usage | None = None) -> Events:
        """Add a whole item that no model spoke, between two steps; `usage` is what it cost."""
        follow(self._state, Act.OUTPUT)
        self._usage += [usage] if usage is not None else []
        index, made = next(self._indices), t.item_of(item)
        self._finished[index] = made
        self._update(output=[self._finished[each] for each in sorted(self._finished)])
        return whole_item(index, made, self._numbers)

    def adopt(self, call: t.ResponseFunctionShellToolCall) -> None:
        """Take over a call of an earlier response, whose output belongs to this one."""
        self._call_ids.add(call.call_id)
        self._unanswered[call.call_id] = call

    def hand_over(self, call: t.ResponseFunctionShellToolCall) -> None:
        """Leave a shell call to the client, who runs it and sends its output as input of the next turn."""
        follow(self._state, Act.OUTPUT)
        self._take(call)

    # -- commands print -----------------------------------------------------------------------------------

    def open_output(self, call: t.ResponseFunctionShellToolCall) -> Events:
        """Begin the output item of a shell call. Outputs of several calls may be open at once."""
        follow(self._state, Act.OUTPUT)
        self._take(call)
        return self._open_output(call)

    def output(self, call_id: str, command_index: int, *, stdout: str = "", stderr: str = "") -> Events:
        """Pass on a piece of what command `command_index` of the call prints; no event for an empty one."""
        draft = self._output(call_id)
        return draft.write(command_index, stdout, stderr) if stdout or stderr else []

    def command_done(self, call_id: str, command_index: int, content: t.ShellOutputContent) -> Events:
        """End one command; once for each, then `close_output`.

        `content` (see `items.shell_output`) is the whole, final output of the command: what the item will
        hold, whether or not all of it was streamed.
        """
        draft = self._output(call_id)
        if command_index in draft.finished:
            raise RuntimeError(f"Command {command_index} of {call_id} has ended already.")
        return draft.command_done(command_index, content)

    def close_output(self, call_id: str, status: Final = "completed") -> Events:
        """Make the output item final.

        Commands without an outcome get one that says that they did not run to their end.
        """
        draft = self._output(call_id)
        events = draft.close_unfinished("The command did not run to its end.")
        del self._outputs[call_id]
        return events + self._finish(draft, status)

    # -- the end ------------------------------------------------------------------------------------------

    def complete(self) -> Events:
        """Emit `response.completed`, with the usage of all steps (zeros where no step reported any).

        Shell calls that were never opened stay without an output: those are the client's, or wait.
        """
        if self._outputs:
            raise RuntimeError("A response with an open shell output cannot be complete.")
        self._unanswered.clear()
        events = self._settle("completed", "")
        self._update(status="completed", completed_at=int(self._clock()))
        return [*events, self._about(t.ResponseCompletedEvent, "response.completed")]

    def incomplete(self, reason: str) -> Events:
        """Emit `response.incomplete`, with `reason` in its `incomplete_details`.

        An open item is closed as incomplete, and each shell call without an output is given one, so that the
        chain can be continued.
        """
        opening = self.begin() if self._state is State.NEW else []
        events = opening + self._settle("incomplete", f"The command was stopped or not begun ({reason}).")
        self._update(status="incomplete", incomplete_details=IncompleteDetails.construct(reason=_any(reason)))
        return [*events, self._about(t.ResponseIncompleteEvent, "response.incomplete")]

    def cancel(self) -> Events:
        """Settle what is open as `incomplete` does; the status is `cancelled`.

        The standard has no event of that name: the last one is `response.incomplete`, whose response says it.
        """
        opening = self.begin() if self._state is State.NEW else []
        events = opening + self._settle("incomplete", "The command was stopped or not begun: cancelled.")
        self._update(status="cancelled")
        return [*events, self._about(t.ResponseIncompleteEvent, "response.incomplete")]

    def fail(self, *, code: str, message: str) -> Events:
        """Settle what is open as `incomplete` does; then emit `error` and `response.failed`.

        The stream is begun first where the failure came before `begin`.
        """
        opening = self.begin() if self._state is State.NEW else []
        events = opening + self._settle(
            "incomplete", "The command was stopped or not begun: the turn failed."
        )
        self._update(status="failed", error=t.ResponseError.construct(code=_any(code), message=message))
        error = error_event(code, message, next(self._numbers))
        return [*events, error, self._about(t.ResponseFailedEvent, "response.failed")]

    def _note(self, delta: Usage | Truncated) -> Events:
        if self._state in (State.NEW, State.ENDED):
            raise RuntimeError(f"{type(delta).__name__} is not possible in state {self._state.name}.")
        if isinstance(delta, Usage):
            self._usage.append(delta)
        else:
            self.truncated = delta.reason
        return []

    def _continues(self, state: State, delta: ModelDelta) -> bool:
        if state is not self._state:
            return False
        if isinstance(delta, ShellCallDelta | ShellCallDone | FunctionCallDelta):
            return self._call(delta.call_id) is not None
        return True

    def _call(self, call_id: str) -> ShellCallDraft | FunctionCallDraft | None:
        draft = self._open
        if isinstance(draft, ShellCallDraft | FunctionCallDraft) and draft.call_id == call_id:
            return draft
        return None

    def _check(self, delta: ModelDelta) -> None:
        if isinstance(delta, ShellCallDelta | ShellCallDone | FunctionCallDelta):
            draft = self._call(delta.call_id)
            if draft is None and delta.call_id in self._call_ids:
                malformed(delta.call_id, "it uses the id of an earlier call")
            check_call(delta, draft)

    def _write(self, delta: ModelDelta) -> Events:
        match delta:
            case ReasoningDelta(text, part):
                draft, events = self._draft(ReasoningDraft)
                return events + draft.write(text, part)
            case ReasoningOpaque(encrypted_content):
                draft, events = self._draft(ReasoningDraft)
                draft.encrypted_content = encrypted_content
                return events
            case TextDelta(text):
                message, events = self._draft(MessageDraft, self.citations)
                return events + message.write("text", text)
            case RefusalDelta(text):
                message, events = self._draft(MessageDraft, self.citations)
                return events + message.write("refusal", text)
            case FunctionCallDelta(call_id, name, arguments):
                function, events = self._draft(FunctionCallDraft, call_id, name)
                return events + (function.write(arguments) if arguments else [])
            case ShellCallDelta(call_id, command_index, text):
                shell, events = self._draft(ShellCallDraft, call_id, self.container_id)
                return events + shell.write(command_index, text)
            case ShellCallDone():
                return self._whole_call(delta)
        return []

    def _whole_call(self, delta: ShellCallDone) -> Events:
        shell, events = self._draft(ShellCallDraft, delta.call_id, self.container_id)
        events += shell.complete(delta)
        events += self._close("completed")
        self._state = State.BETWEEN
        return events

    def _draft(self, kind: type[D], *arguments: Any) -> tuple[D, Events]:
        if isinstance(self._open, kind):
            return self._open, []
        draft = kind(next(self._indices), self._numbers, *arguments)
        self._open = draft
        if isinstance(draft, ShellCallDraft | FunctionCallDraft):
            self._call_ids.add(draft.call_id)
        return draft, draft.added()

    def _leave(self) -> Events:
        """Close the open item because the model goes on to another one, or ends."""
        if self.truncated is not None:
            return self._close("incomplete")
        if isinstance(self._open, ShellCallDraft):  # half a command must never look like one to be run
            malformed(self._open.call_id, "it breaks off")
        return self._close("completed")

    def _close(self, status: Final) -> Events:
        draft, self._open = self._open, None
        if draft is None:
            return []
        return draft.close_parts() + self._finish(draft, status)

    def _finish(self, draft: Draft, status: Final) -> Events:
        item = draft.item(status)
        self._finished[draft.index] = item
        self._step.append(item)
        if isinstance(item, t.ResponseFunctionShellToolCall):
            self._unanswered[item.call_id] = item
        self._update(output=[self._finished[index] for index in sorted(self._finished)])
        return draft.done(item)

    def _take(self, call: t.ResponseFunctionShellToolCall) -> None:
        if self._unanswered.pop(call.call_id, None) is None:
            raise RuntimeError(f"The shell call {call.call_id} is unknown or has an output already.")

    def _open_output(self, call: t.ResponseFunctionShellToolCall) -> Events:
        draft = ShellOutputDraft(next(self._indices), self._numbers, call)
        self._outputs[call.call_id] = draft
        return draft.added("completed")  # as the API itself does, before anything has run

    def _output(self, call_id: str) -> ShellOutputDraft:
        follow(self._state, Act.OUTPUT)
        try:
            return self._outputs[call_id]
        except KeyError:
            raise RuntimeError(f"No output of {call_id} is open.") from None

    def _settle(self, status: Final, why: str) -> Events:
        """Close everything that is open, and answer every call, before the last event."""
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

    def _about(self, kind: type[A], name: str) -> A:
        event: Any = kind.construct(type=name, response=self.response, sequence_number=next(self._numbers))
        return cast(A, event)

    def _update(self, **changes: Any) -> None:
        # A new object each time: events already emitted keep the response as it was then.
        self.response = self.response.model_copy(update=changes)


def _any(value: str) -> Any:
    """Pass a value off the package's enumeration, which its client accepts and its types do not list."""
    return value
