"""The client's functions: offered to models here, run by the client."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol import ids
from agent_kernel.protocol import items as t
from agent_kernel.protocol.calls import CallDone, CallDraft, CallItem, CallStart, OutputDraft
from agent_kernel.protocol.drafts import Events
from agent_kernel.tools.base import Tool, ToolEntry

Json = Mapping[str, Any]


LABELS = ("namespace", "caller", "async")
"""Fields of a call or its output that say where it belongs, for upstreams that have them."""


def labels_of(item: Json) -> dict[str, Any]:
    """Return those of `LABELS` that the item has; null means absent."""
    return {name: item[name] for name in LABELS if item.get(name) is not None}


class ClientFunction(Tool):
    """The tool for all `function` entries; its calls carry the function's name."""

    type = "function"
    call_type = "function_call"
    output_type = "function_call_output"
    id_prefixes = ("fc_", "fco_")
    by_client = True
    repeated = True

    def read(self, spec: Json, index: int) -> ToolEntry:
        if not isinstance(spec.get("name"), str):
            raise InvalidRequest(f"tools[{index}].name is missing.", param=f"tools[{index}].name")
        return ToolEntry(self, index, spec, deferred=spec.get("defer_loading") is True)

    def native_spec(self, entry: ToolEntry) -> Json:
        return entry.spec

    def function_spec(self, entry: ToolEntry) -> Json:
        return entry.spec

    def read_arguments(self, call_id: str, arguments: str) -> CallDone:
        return CallDone(self, call_id, (arguments,))

    def call_draft(self, index: int, numbers: Iterator[int], start: CallStart) -> CallDraft:
        return FunctionCallDraft(index, numbers, start)

    def output_draft(self, index: int, numbers: Iterator[int], call: CallItem) -> OutputDraft:
        raise NotImplementedError

    def policy_subject(self, call: Json) -> None:
        return None

    def refuse(self, call: Json, why: str) -> Iterator[Any]:
        raise NotImplementedError

    def unanswered(self, call: Json, why: str) -> str:
        return why

    def interrupted_call(self, item: Json, parts: Sequence[str]) -> Json:
        return {**item, "arguments": "".join(parts)}

    def interrupted_output(self, item: Json, call: Json | None, events: Sequence[Json]) -> Json:
        return item

    def arguments(self, call: Json) -> Json:
        try:
            value = json.loads(call["arguments"])
        except ValueError:
            value = None
        return value if isinstance(value, dict) else {}

    def arguments_text(self, call: Json) -> str:
        return str(call["arguments"])

    def result(self, output: Json) -> str:
        content = output["output"]
        if isinstance(content, str):
            return content
        texts = [part.get("text") for part in content or () if isinstance(part, dict)]
        return "\n".join(str(text) for text in texts if text)

    def native_call(self, call: Json) -> Json:
        fields = {name: call[name] for name in ("call_id", "name", "arguments")}
        return {"type": "function_call", **fields, **labels_of(call)}

    def native_output(self, output: Json) -> Json:
        fields = {name: output[name] for name in ("call_id", "output")}
        return {"type": "function_call_output", **fields, **labels_of(output)}

    def transcript(self, item: Json) -> Iterator[str]:
        if item["type"] == self.call_type:
            yield f"called: {item['name']}({item['arguments']})"
        else:
            yield f"got: {item['output']}"


class FunctionCallDraft(CallDraft):
    """The draft of a call to a client's function. Its only part is the JSON of the arguments."""

    ends_open = True

    def __init__(self, index: int, numbers: Iterator[int], start: CallStart) -> None:
        super().__init__(index, numbers, start)
        self.id = ids.item_id("function_call", "fc_")

    def item(self, status: t.ItemStatus) -> t.ResponseFunctionToolCall:
        item = t.ResponseFunctionToolCall(
            id=self.id,
            type="function_call",
            call_id=self.call_id,
            name=self.start.name or "",
            arguments="".join(self.texts()),
            status=status,
        )
        return item.model_copy(update=dict(self.start.labels)) if self.start.labels else item

    def part_delta(self, part: int, text: str) -> Events:
        return [
            t.ResponseFunctionCallArgumentsDeltaEvent(
                type="response.function_call_arguments.delta",
                item_id=self.id,
                output_index=self.index,
                delta=text,
                sequence_number=next(self.numbers),
            )
        ]

    def part_done(self, part: int, text: str) -> Events:
        # `construct`, because the API's event has a name, which the package's type does not list.
        return [
            t.ResponseFunctionCallArgumentsDoneEvent.construct(
                type="response.function_call_arguments.done",
                item_id=self.id,
                output_index=self.index,
                name=self.start.name or "",
                arguments=text,
                sequence_number=next(self.numbers),
            )
        ]


CLIENT_FUNCTION = ClientFunction()
