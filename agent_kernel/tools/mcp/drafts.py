"""The items of lists and calls, and their events, in the order of OpenAI's API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent_kernel.protocol import ids
from agent_kernel.protocol.drafts import Draft, Events
from agent_kernel.protocol.items import ItemStatus, ResponseOutputItem, item_of
from agent_kernel.tools.mcp.results import McpOutcome, McpProgress
from agent_kernel.tools.one_item_drafts import OneItemCallDraft, OneItemOutputDraft, event_about

Json = Mapping[str, Any]

CALL = "mcp_call"
PREFIX = "mcp_"
LIST = "mcp_list_tools"
ARGUMENTS_DONE = "response.mcp_call_arguments.done"
PROGRESS = "agent_kernel.mcp_call.progress"
"""An event of ours, for clients that ask for it."""


class McpCallDraft(OneItemCallDraft):
    """The item while the model writes the arguments, which are the call's only part.

    The call's `name` is the tool's own, its label `namespace` the server's.
    """

    kind, prefix = CALL, PREFIX

    def item(self, status: ItemStatus) -> ResponseOutputItem:
        container = self.start.container_id
        return item_of(
            {
                "id": self.id,
                "type": CALL,
                "status": status,
                "approval_request_id": self.start.labels.get("approval_request_id"),
                "arguments": "".join(self.texts()),
                "error": None,
                "name": self.start.name or "",
                "output": None,
                "server_label": self.start.labels.get("namespace") or "",
                **({"agent_kernel": {"container_id": container}} if container is not None else {}),
            }
        )

    def part_delta(self, part: int, text: str) -> Events:
        return [self.about("response.mcp_call_arguments.delta", delta=text)]

    def part_done(self, part: int, text: str) -> Events:
        return [self.about(ARGUMENTS_DONE, arguments=text)]


class McpOutputDraft(OneItemOutputDraft):
    """The item from when the call runs. It accepts one `McpOutcome`, and `McpProgress` before it."""

    kind = CALL

    def __init__(self, index: int, numbers: Iterator[int], call: Json) -> None:
        super().__init__(index, numbers, call)
        self._outcome: McpOutcome | None = None

    def item(self, status: ItemStatus) -> ResponseOutputItem:
        outcome = self._outcome or McpOutcome()
        final = "failed" if outcome.error is not None and status == "completed" else status
        fields = {**self.call, "output": outcome.output, "error": outcome.error, "status": final}
        if outcome.content:
            ours = self.call.get("agent_kernel", {})
            fields["agent_kernel"] = {**ours, "content": [dict(each) for each in outcome.content]}
        return item_of(fields)

    def write(self, piece: McpOutcome | McpProgress) -> Events:
        if isinstance(piece, McpProgress):
            fields = {"progress": piece.progress, "total": piece.total, "message": piece.message}
            return [self.about(PROGRESS, **fields)]
        self._outcome = piece
        return []

    def close_unfinished(self, why: str) -> Events:
        return []

    def ended_as(self, item: ResponseOutputItem) -> str:
        status = getattr(item, "status", None)
        return str(status) if status in ("completed", "failed") else ""


class ListDraft(Draft):
    """The list of a server's tools, while the server is asked for it."""

    def __init__(self, index: int, numbers: Iterator[int], label: str) -> None:
        super().__init__(index, numbers)
        self.id = ids.item_id(LIST, "mcpl_")
        self._label = label
        self.tools: Sequence[Json] = ()
        self.error: str | None = None

    def item(self, status: ItemStatus) -> ResponseOutputItem:
        fields: dict[str, Any] = {
            "id": self.id,
            "type": LIST,
            "server_label": self._label,
            "tools": [dict(each) for each in self.tools],
        }
        if self.error is not None:
            fields["error"] = self.error
        return item_of(fields)

    def added(self, status: ItemStatus = "in_progress") -> Events:
        """Return the event that adds the item, and the one that says that the server is asked."""
        return [*super().added(status), self._about("in_progress")]

    def close_parts(self) -> Events:
        """Return nothing: a list has no parts."""
        return []

    def done(self, item: ResponseOutputItem) -> Events:
        """Return the event that finishes the item, after one that says how it ended."""
        ended = self._about("completed" if self.error is None else "failed")
        return [ended, *super().done(item)]

    def _about(self, what: str) -> Any:
        return event_about(f"response.{LIST}.{what}", self.id, self.index, self.numbers)
