"""The items of a call and its output. The events have the order of OpenAI's API."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agent_kernel.protocol import ids
from agent_kernel.protocol.calls import CallDraft, CallItem, CallStart, OutputDraft
from agent_kernel.protocol.drafts import Events
from agent_kernel.protocol.items import ItemStatus, ResponseOutputItem, item_of
from agent_kernel.protocol.sse import own_event

CALL = "apply_patch_call"
OUTPUT = "apply_patch_call_output"
_DIFF = "response.apply_patch_call_operation_diff"


@dataclass(frozen=True)
class PatchResult:
    """The end of a call: whether the patch was applied, and a sentence for the model."""

    done: bool
    said: str


class PatchCallDraft(CallDraft):
    """The item while the model writes the diff, which is the call's only part. The labels have the rest."""

    def __init__(self, index: int, numbers: Iterator[int], start: CallStart) -> None:
        super().__init__(index, numbers, start)
        self.id = ids.item_id(CALL)

    def item(self, status: ItemStatus) -> ResponseOutputItem:
        operation = dict(self.start.labels["operation"])
        if operation["type"] != "delete_file":
            operation["diff"] = "".join(self.texts())
        others = {name: value for name, value in self.start.labels.items() if name != "operation"}
        if self.start.container_id is not None:
            others["agent_kernel"] = {
                **others.get("agent_kernel", {}),
                "container_id": self.start.container_id,
            }
        # The API's calls are in_progress or completed.
        shown = "in_progress" if status == "incomplete" else status
        return item_of(
            {
                "id": self.id,
                "type": CALL,
                "call_id": self.call_id,
                "status": shown,
                "operation": operation,
                **others,
            }
        )

    def part_delta(self, part: int, text: str) -> Events:
        return [self._event("delta", delta=text)]

    def part_done(self, part: int, text: str) -> Events:
        is_delete = self.start.labels["operation"]["type"] == "delete_file"
        return [] if is_delete else [self._event("done", diff=text)]

    def _event(self, what: str, **fields: str) -> Any:
        place = {"item_id": self.id, "output_index": self.index, "sequence_number": next(self.numbers)}
        return own_event({"type": f"{_DIFF}.{what}", **place, **fields})


class PatchOutputDraft(OutputDraft):
    """The output of a call. It accepts one `PatchResult`. No event of the API is about its content."""

    added_as = "completed"  # the API's outputs are completed or failed

    def __init__(self, index: int, numbers: Iterator[int], call: CallItem) -> None:
        super().__init__(index, numbers)
        self.id = ids.item_id(OUTPUT)
        self._call_id = call.call_id
        self._result: PatchResult | None = None

    def item(self, status: ItemStatus) -> ResponseOutputItem:
        result = self._result
        shown = "failed" if result is not None and not result.done else "completed"
        said = result.said if result is not None else None
        return item_of(
            {"id": self.id, "type": OUTPUT, "call_id": self._call_id, "status": shown, "output": said}
        )

    def write(self, piece: PatchResult) -> Events:
        self._result = piece
        return []

    def close_unfinished(self, why: str) -> Events:
        if self._result is None:
            self._result = PatchResult(False, why)
        return []
