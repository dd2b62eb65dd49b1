"""The drafts of tool calls and their outputs, and the interface of tools for the protocol.

A tool (`agent_kernel.tools`) provides drafts that know its items and events. This module has what all calls
share: a call is written in numbered parts, in order, and its id is used once.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from agent_kernel.protocol import ids
from agent_kernel.protocol import items as t
from agent_kernel.protocol.drafts import Draft, Events
from agent_kernel.protocol.malformed import agrees, malformed

CallItem: TypeAlias = Any
"""An output item that is a call. Each tool has its own class."""

Json = Mapping[str, Any]


def call_key(item: CallItem) -> str:
    """Return what a call is known by: its `call_id`, or its item's id if its output is in the same item."""
    key: str = getattr(item, "call_id", None) or item.id
    return key


def json_key(call: Json) -> str:
    """Return `call_key` of a call item as JSON."""
    key: str = call.get("call_id") or call["id"]
    return key


@dataclass(frozen=True, slots=True)
class CallDelta:
    """A piece of a tool call.

    A call is written in parts, counted from 0: the commands of a shell call, or the JSON arguments of a
    function, which are one part. `name` is the function's name, if the tool has several functions. `labels`
    are other fields that the upstream gave the call: `namespace` and `caller`. The first delta decides.
    """

    tool: CallKind
    call_id: str
    text: str
    part: int = 0
    name: str | None = None
    labels: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallDone:
    """A complete tool call. Deltas may precede it; they must be the beginning of the same parts.

    `options` are fields of the call that are not written piece by piece, such as a time limit.
    """

    tool: CallKind
    call_id: str
    parts: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    labels: Mapping[str, Any] = field(default_factory=dict)
    """As in `CallDelta`, for a call that comes whole."""


@dataclass(frozen=True, slots=True)
class RejectedCall:
    """A call that cannot be carried out. The model reads `why` as its result, and may try again.

    `arguments` are as the model wrote them. Deltas of the call may precede it.
    """

    call_id: str
    name: str
    arguments: str
    why: str


UNKNOWN = "there is no such tool"
"""The `why` of a call to a tool that was not offered."""

SERVER_LABEL = "agent_kernel"
"""The `server_label` of this server's approval requests and of the items of rejected calls."""

_EXCERPT = 1000
"""Characters of a rejected call's arguments that its item repeats."""

_LONGEST_NAME = 100
_INVALID_PARAMS = -32602
"""The code that MCP has for unknown tools and wrong arguments."""


def rejected_item(call: RejectedCall) -> dict[str, Any]:
    """Return the item of a rejected call, as JSON.

    It is an `mcp_call` that failed: the standard's only item that holds the name, the arguments and the
    error of a call to any tool. It needs no output, so no chain ends with a call that has none.
    """
    return {
        "id": ids.item_id("mcp_call", "mcp_"),
        "type": "mcp_call",
        "server_label": SERVER_LABEL,
        "name": call.name[:_LONGEST_NAME],
        "arguments": call.arguments[:_EXCERPT],
        "error": {"type": "mcp_protocol_error", "code": _INVALID_PARAMS, "message": call.why},
        "output": None,
        "status": "failed",
        "approval_request_id": None,
    }


def is_rejected(item: Json) -> bool:
    """Return whether an item is that of a rejected call."""
    return item.get("type") == "mcp_call" and item.get("server_label") == SERVER_LABEL


def rejection_of(item: Json) -> str:
    """Return what the model reads as the result of a rejected call."""
    error = item.get("error")
    return str(error.get("message") if isinstance(error, Mapping) else error)


@dataclass(frozen=True)
class CallStart:
    """The start of a call, when its item begins. `container_id` is the turn's container, if it has one.

    `labels`: see `CallDelta`.
    """

    call_id: str
    name: str | None = None
    container_id: str | None = None
    labels: Mapping[str, Any] = field(default_factory=dict)


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
    def one_item(self) -> bool:
        """Whether a call and its output are one item. Then its output drafts continue the call's item."""
        ...

    @property
    def waits_unshown(self) -> bool:
        """Whether a call that waits for an approval has no item."""
        ...

    @property
    def resumable(self) -> bool:
        """Whether another process can resume its calls after their process died."""
        ...

    def call_draft(self, index: int, numbers: Iterator[int], start: CallStart) -> CallDraft:
        """Begin a call item."""
        ...

    def output_draft(self, index: int, numbers: Iterator[int], call: CallItem) -> OutputDraft:
        """Begin the output item of a call, or continue the call's item if `one_item`."""
        ...

    def whole_call(self, item: Json, events: Sequence[Json]) -> tuple[Json, Sequence[Json]] | None:
        """Return the call of an open item, and those of the item's `events` that came after the call.

        None if the model was still writing it. Only for a `one_item`.
        """
        ...

    def output_item(self, call: Json, why: str) -> Json:
        """Return the output item, as JSON, of a call that did not run. `why` is a sentence."""
        ...

    def interrupted_call(self, item: Json, parts: Sequence[str]) -> Json:
        """Return the call item with only these parts, written before the process died."""
        ...

    def interrupted_output(self, item: Json, call: Json | None, events: Sequence[Json]) -> Json:
        """Return the output item, made from its events so far, of a call that ran when the process died.

        If `one_item`, the item may also be a call that the model was still writing, and `call` is None.
        """
        ...


class CallKinds(Protocol):
    """A lookup of tools by the types of their items."""

    def of_call(self, item_type: str) -> CallKind | None:
        """Return the tool whose call items have this type."""
        ...

    def of_output(self, item_type: str) -> CallKind | None:
        """Return the tool whose output items have this type."""
        ...


class CallDraft(Draft):
    """A call item while a model writes it, part by part."""

    ends_open = False
    """Whether the call is complete as soon as the model begins another item. Otherwise only a `CallDone`
    completes it, and a call without one is malformed: half a command must never look ready to run."""

    def __init__(self, index: int, numbers: Iterator[int], start: CallStart) -> None:
        super().__init__(index, numbers)
        self.start = start
        self.options: Mapping[str, Any] = {}
        self.added_at = 0
        """The sequence number of the event that added the item."""
        self._parts: list[list[str]] = []
        self._open = False

    @property
    def call_id(self) -> str:
        """The id that the model gave the call."""
        return self.start.call_id

    def texts(self) -> list[str]:
        """Return the text of each part so far."""
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
        """Write the rest of the last part, and all parts that were not streamed."""
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
        """Return the events that announce a part; many tools have none."""
        return []

    @abstractmethod
    def part_delta(self, part: int, text: str) -> Events:
        """Return the events of a piece of a part."""

    @abstractmethod
    def part_done(self, part: int, text: str) -> Events:
        """Return the events that end a part, with its whole text."""


class OutputDraft(Draft):
    """The output item of a call while the call runs."""

    added_as: t.ItemStatus = "in_progress"
    """Status of the item when it is added."""

    def begun(self) -> Events:
        """Return the events that say that the call runs now. Only a `one_item` has any."""
        return []

    def restore(self, item: Json, events: Sequence[Json]) -> None:
        """Restore the output of a dead process from its item as it was added, and its events since.

        Only a tool that is `resumable` needs this.
        """
        raise NotImplementedError

    @abstractmethod
    def write(self, piece: Any) -> Events:
        """Return the events of a piece of output. Each tool defines its own pieces."""

    @abstractmethod
    def close_unfinished(self, why: str) -> Events:
        """Complete an unfinished output. `why` is a sentence for the model and the reader."""

    def close_parts(self) -> Events:
        """Do nothing: outputs have no parts to end."""
        return []


def check_call(kind: CallKind | None, delta: CallDelta | CallDone, draft: CallDraft | None) -> None:
    """Check a delta against the open call `draft` of the tool `kind`.

    Raises `MalformedModelOutput` for a delta that cannot belong to the call.
    """
    if draft is not None and kind is not delta.tool:
        malformed(delta.call_id, "it names two tools")
    known = draft.texts() if draft is not None else []
    if isinstance(delta, CallDelta):
        if delta.part not in (len(known) - 1, len(known)) or delta.part < 0:
            malformed(delta.call_id, f"part {delta.part} comes out of order")
    elif not delta.parts:
        malformed(delta.call_id, "it is empty")
    elif not agrees(known, delta.parts):
        malformed(delta.call_id, "it differs from what was streamed")
