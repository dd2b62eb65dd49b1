"""Tool calls and their outputs while they are written: what the protocol knows of every tool.

A tool (`agent_kernel.tools`) brings its own drafts, which know its items and events. What all calls have in
common is here: a call is written in numbered parts, in order, and its id is used once.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from agent_kernel.protocol import items as t
from agent_kernel.protocol.drafts import Draft, Events
from agent_kernel.protocol.malformed import agrees, malformed

CallItem: TypeAlias = Any
"""An output item with a `call_id`. Its class is the tool's own."""

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CallDelta:
    """A piece of a tool call.

    A call is written in parts, counted from 0: the commands of a shell call, or the JSON arguments of a
    function, which are one part. `name` is the function's, where the tool has several.
    """

    tool: CallKind
    call_id: str
    text: str
    part: int = 0
    name: str | None = None


@dataclass(frozen=True, slots=True)
class CallDone:
    """A whole tool call. Deltas may come before it; they must be the beginning of the same parts.

    `options` are fields of the call that are not written piece by piece, such as a time limit.
    """

    tool: CallKind
    call_id: str
    parts: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None


@dataclass(frozen=True)
class CallStart:
    """What is known of a call when its item begins. `container_id` is the turn's container, if it has one."""

    call_id: str
    name: str | None = None
    container_id: str | None = None


class CallKind(Protocol):
    """A tool as the assembler and the recovery after a crash see it: an `agent_kernel.tools.base.Tool`."""

    @property
    def type(self) -> str:
        """The `type` of its entry in a request's `tools`."""
        ...

    @property
    def call_type(self) -> str:
        """The `type` of its call items."""
        ...

    @property
    def output_type(self) -> str:
        """The `type` of the items that answer its calls."""
        ...

    @property
    def by_client(self) -> bool:
        """Whether the client always runs its calls, and sends their outputs as input of the next turn."""
        ...

    @property
    def resumable(self) -> bool:
        """Whether another process can go on with its calls after their process died."""
        ...

    def call_draft(self, index: int, numbers: Iterator[int], start: CallStart) -> CallDraft:
        """Begin a call item."""
        ...

    def output_draft(self, index: int, numbers: Iterator[int], call: CallItem) -> OutputDraft:
        """Begin the output item of a call."""
        ...

    def output_item(self, call: Json, why: str) -> Json:
        """Make the whole output item of a call that did not run, as JSON; `why` is a sentence."""
        ...

    def interrupted_call(self, item: Json, parts: Sequence[str]) -> Json:
        """Complete a call item of which only these parts were written before the process died."""
        ...

    def interrupted_output(self, item: Json, call: Json | None, events: Sequence[Json]) -> Json:
        """Complete an output item from its events so far; the process died while the call ran."""
        ...


class CallKinds(Protocol):
    """Finds tools by the types of their items."""

    def of_call(self, item_type: str) -> CallKind | None:
        """Return the tool whose call items have this type."""
        ...

    def of_output(self, item_type: str) -> CallKind | None:
        """Return the tool whose output items have this type."""
        ...


class CallDraft(Draft):
    """A call item while a model writes it, part by part."""

    ends_open = False
    """Whether the call is complete as soon as the model goes on. Otherwise only a `CallDone` completes it,
    and a call that breaks off is malformed: half a command must never look like one to run."""

    def __init__(self, index: int, numbers: Iterator[int], start: CallStart) -> None:
        super().__init__(index, numbers)
        self.start = start
        self.options: Mapping[str, Any] = {}
        self._parts: list[list[str]] = []
        self._open = False

    @property
    def call_id(self) -> str:
        """The id that joins the call to its output."""
        return self.start.call_id

    def texts(self) -> list[str]:
        """Return the parts as far as they are known."""
        return ["".join(pieces) for pieces in self._parts]

    def write(self, part: int, text: str) -> Events:
        """Add text to the open part, or begin the next one."""
        events: Events = []
        if part == len(self._parts):
            events += self.close_parts()
            self._open = True
            self._parts.append([])
            events += self.part_added(part)
        if text:
            self._parts[-1].append(text)
            events += self.part_delta(part, text)
        return events

    def complete(self, whole: CallDone) -> Events:
        """Take the whole call: the rest of the part that was streamed last, and the parts that were not."""
        events: Events = []
        known = self.texts()
        if known:
            events += self.write(len(known) - 1, whole.parts[len(known) - 1][len(known[-1]) :])
        for part in range(len(known), len(whole.parts)):
            events += self.write(part, whole.parts[part])
        self.options = whole.options
        return events

    def close_parts(self) -> Events:
        """End the open part."""
        if not self._open:
            return []
        self._open = False
        return self.part_done(len(self._parts) - 1, "".join(self._parts[-1]))

    def part_added(self, part: int) -> Events:
        """Announce a part; many tools have no event for it."""
        return []

    @abstractmethod
    def part_delta(self, part: int, text: str) -> Events:
        """Pass on a piece of a part."""

    @abstractmethod
    def part_done(self, part: int, text: str) -> Events:
        """Repeat a part that is complete."""


class OutputDraft(Draft):
    """The output item of a call while the call runs."""

    added_as: t.ItemStatus = "in_progress"
    """The item's status when it is announced."""

    def restore(self, item: Json, events: Sequence[Json]) -> None:
        """Take over an output of a dead process: its item as it was added, and its events since.

        Only a tool that is `resumable` needs it.
        """
        raise NotImplementedError

    @abstractmethod
    def write(self, piece: Any) -> Events:
        """Take what the running tool emits. Which pieces there are is the tool's own affair."""

    @abstractmethod
    def close_unfinished(self, why: str) -> Events:
        """Complete an output that is not whole; `why` is a sentence for the model and the reader."""

    def close_parts(self) -> Events:
        """End the open part; outputs have none."""
        return []


def check_call(kind: CallKind | None, delta: CallDelta | CallDone, draft: CallDraft | None) -> None:
    """Check a piece against the call that is open as `draft`, a call of the tool `kind`.

    Raises `MalformedModelOutput` for a piece that the call cannot have.
    """
    if draft is not None and kind is not delta.tool:
        malformed(delta.call_id, "it is a call of two tools at once")
    known = draft.texts() if draft is not None else []
    if isinstance(delta, CallDelta):
        if delta.part not in (len(known) - 1, len(known)) or delta.part < 0:
            malformed(delta.call_id, f"part {delta.part} comes out of order")
    elif not delta.parts:
        malformed(delta.call_id, "it is empty")
    elif not agrees(known, delta.parts):
        malformed(delta.call_id, "it differs from what was streamed of it")
