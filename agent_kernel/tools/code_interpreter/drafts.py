"""The item of a call: first its code, then its outputs. The events have the order of OpenAI's API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent_kernel.protocol.drafts import Events
from agent_kernel.protocol.items import ItemStatus, ResponseOutputItem, item_of
from agent_kernel.tools.code_interpreter.session import CellResult, LiveOutput
from agent_kernel.tools.one_item_drafts import OneItemCallDraft, OneItemOutputDraft

Json = Mapping[str, Any]

CALL = "code_interpreter_call"
PREFIX = "ci_"
CODE_DELTA = "response.code_interpreter_call_code.delta"
CODE_DONE = "response.code_interpreter_call_code.done"
PRINTED = "agent_kernel.code_interpreter_call.printed"
DISPLAYED = "agent_kernel.code_interpreter_call.displayed"
"""Events with new text, and with any other output, for clients that ask for `agent_kernel.outputs`."""


def outputs_of(result: CellResult) -> list[Json]:
    """Return the outputs of an item: pictures first, as in the API, then everything printed as one text."""
    logs = [{"type": "logs", "logs": result.logs}] if result.logs else []
    return [*({"type": "image", "url": url} for url in result.images), *logs]


class CodeCallDraft(OneItemCallDraft):
    """The item while the model writes the code, which is the call's only part."""

    kind, prefix = CALL, PREFIX

    def item(self, status: ItemStatus) -> ResponseOutputItem:
        return item_of(
            {
                "id": self.id,
                "type": CALL,
                "status": status,
                "code": "".join(self.texts()),
                "container_id": self.start.container_id,
                "outputs": [],
                **self.start.labels,
            }
        )

    def part_delta(self, part: int, text: str) -> Events:
        return [self.about(CODE_DELTA, delta=text)]

    def part_done(self, part: int, text: str) -> Events:
        return [self.about(CODE_DONE, code=text)]


@dataclass(frozen=True)
class RichResult:
    """A result whose item also gets all outputs, in its field `agent_kernel.outputs`."""

    result: CellResult


class CodeOutputDraft(OneItemOutputDraft):
    """The item from when the code runs. It accepts one `CellResult` or `RichResult`, before it `LiveOutput`.

    No event of the API carries output. `LiveOutput` makes events of ours, for clients that ask for them.
    """

    kind, running = CALL, "interpreting"

    def __init__(self, index: int, numbers: Iterator[int], call: Json) -> None:
        super().__init__(index, numbers, call)
        self._result: CellResult | None = None
        self._rich = False
        self._ran = False

    def item(self, status: ItemStatus) -> ResponseOutputItem:
        result = self._result
        outputs = outputs_of(result) if result is not None else []
        final = "failed" if status == "completed" and not self._ran else status
        fields = {**self.call, "outputs": outputs, "status": final}
        if result is not None and self._rich:
            fields["agent_kernel"] = {**self.call.get("agent_kernel", {}), "outputs": list(result.outputs)}
        return item_of(fields)

    def restore(self, item: Json, events: Sequence[Json]) -> None:
        """Do nothing: the result is asked for again."""

    def write(self, piece: CellResult | RichResult | LiveOutput) -> Events:
        if isinstance(piece, LiveOutput):
            return self._live(piece.output)
        self._rich = isinstance(piece, RichResult)
        self._result = piece.result if isinstance(piece, RichResult) else piece
        self._ran = self._result.status not in ("unfinished", "ended", "unknown")
        return []

    def _live(self, output: Json) -> Events:
        if output["output_type"] == "stream":
            return [self.about(PRINTED, name=output["name"], delta=output["text"])]
        return [self.about(DISPLAYED, output=output)]

    def close_unfinished(self, why: str) -> Events:
        if self._result is None or self._result.status == "unfinished":
            self._result = (self._result or CellResult("unknown")).noted(why)
        return []

    def ended_as(self, item: ResponseOutputItem) -> str:
        return "completed" if self._ran else ""
