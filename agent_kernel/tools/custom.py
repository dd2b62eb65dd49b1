"""Custom tools: called with one text instead of JSON arguments, and run by the client.

An upstream that has them gets them as they are, and enforces their grammar. Any other gets a function with
one string, and reads the grammar in its description; nothing enforces it there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from openai.types.responses import ResponseCustomToolCallInputDeltaEvent, ResponseCustomToolCallInputDoneEvent

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol import ids
from agent_kernel.protocol.calls import CallDelta, CallDone, CallDraft, CallItem, CallStart, OutputDraft
from agent_kernel.protocol.drafts import Events
from agent_kernel.protocol.items import ItemStatus, ResponseOutputItem, item_of
from agent_kernel.protocol.validation import shortened
from agent_kernel.tools.arguments import UnreadableArguments, read_object
from agent_kernel.tools.base import Tool, ToolEntry
from agent_kernel.tools.client import CLIENT_FUNCTION, labels_of
from agent_kernel.tools.live import LiveCall, malformed_call

Json = Mapping[str, Any]

PARAMETERS = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole input, as plain text."}},
    "required": ["input"],
    "additionalProperties": False,
}
SYNTAXES = ("lark", "regex")


class SilentCall(LiveCall):
    """A call in progress of which nothing is shown: its name comes with the whole call."""

    def write(self, piece: str) -> Iterator[CallDelta]:
        """Add a piece of the JSON."""
        self.arguments += piece
        yield from ()


class CustomTool(Tool):
    """The tool for all `custom` entries; its calls carry the tool's name."""

    type = "custom"
    call_type = "custom_tool_call"
    output_type = "custom_tool_call_output"
    id_prefixes = ("ctc_", "ctco_")
    by_client = True
    repeated = True

    def read(self, spec: Json, index: int) -> ToolEntry:
        where = f"tools[{index}]"
        if not isinstance(spec.get("name"), str) or not spec["name"]:
            raise InvalidRequest(f"{where}.name is missing.", param=f"{where}.name")
        _check_format(spec.get("format"), f"{where}.format")
        return ToolEntry(self, index, spec, deferred=spec.get("defer_loading") is True)

    def native_spec(self, entry: ToolEntry) -> Json:
        return entry.spec

    def function_spec(self, entry: ToolEntry) -> Json:
        given = entry.spec.get("format")
        said = str(entry.spec.get("description") or "")
        if isinstance(given, Mapping) and given.get("type") == "grammar":
            grammar = f"The input must match this {given['syntax']} grammar:\n{given['definition']}"
            said = f"{said}\n\n{grammar}".strip()
        return {"name": entry.spec["name"], "description": said, "parameters": PARAMETERS}

    def live_call(self, call_id: str) -> SilentCall:
        return SilentCall(self, call_id)

    def read_arguments(self, call_id: str, arguments: str) -> CallDone:
        try:
            value = read_object(arguments)
        except UnreadableArguments as error:
            raise malformed_call(self.type, str(error), arguments) from None
        if set(value) != {"input"} or not isinstance(value["input"], str):
            raise malformed_call(self.type, "it needs one string called input", arguments)
        return CallDone(self, call_id, (value["input"],))

    native_events = frozenset({"response.custom_tool_call_input.delta"})

    def read_native_event(self, call_id: str, event: Any) -> Iterator[CallDelta]:
        yield CallDelta(self, call_id, event.delta or "")

    def read_native_item(self, call_id: str, item: Any) -> CallDone:
        name, given = getattr(item, "name", None), getattr(item, "input", None)
        if not isinstance(name, str) or not isinstance(given, str):
            raise malformed_call(self.type, "it has no name or no input", "")
        namespace = getattr(item, "namespace", None)
        labels = {"namespace": namespace} if isinstance(namespace, str) else {}
        return CallDone(self, call_id, (given,), name=name, labels=labels)

    def call_draft(self, index: int, numbers: Iterator[int], start: CallStart) -> CallDraft:
        return CustomCallDraft(index, numbers, start)

    def output_draft(self, index: int, numbers: Iterator[int], call: CallItem) -> OutputDraft:
        raise NotImplementedError

    def policy_subject(self, call: Json) -> None:
        return None

    def refuse(self, call: Json, why: str) -> Iterator[Any]:
        raise NotImplementedError

    def unanswered(self, call: Json, why: str) -> str:
        return why

    def interrupted_call(self, item: Json, parts: Sequence[str]) -> Json:
        return {**item, "input": "".join(parts)}

    def interrupted_output(self, item: Json, call: Json | None, events: Sequence[Json]) -> Json:
        return item

    def arguments(self, call: Json) -> Json:
        return {"input": str(call.get("input") or "")}

    def arguments_text(self, call: Json) -> str:
        return json.dumps(self.arguments(call), ensure_ascii=False)

    def result(self, output: Json) -> str:
        return CLIENT_FUNCTION.result(output)

    def native_call(self, call: Json) -> Json:
        fields = {name: call[name] for name in ("call_id", "name", "input")}
        return {"type": self.call_type, **fields, **labels_of(call)}

    def native_output(self, output: Json) -> Json:
        fields = {name: output[name] for name in ("call_id", "output")}
        return {"type": self.output_type, **fields, **labels_of(output)}

    def transcript(self, item: Json) -> Iterator[str]:
        if item["type"] == self.call_type:
            yield f"called: {item.get('name')}({item.get('input')})"
        else:
            yield f"got: {item['output']}"


class CustomCallDraft(CallDraft):
    """The draft of a call. Its only part is the input."""

    def __init__(self, index: int, numbers: Iterator[int], start: CallStart) -> None:
        super().__init__(index, numbers, start)
        self.id = ids.item_id(CustomTool.call_type)

    def item(self, status: ItemStatus) -> ResponseOutputItem:
        fields = {"call_id": self.call_id, "name": self.start.name or "", "input": "".join(self.texts())}
        return item_of(
            {"id": self.id, "type": CustomTool.call_type, **fields, "status": status, **self.start.labels}
        )

    def part_delta(self, part: int, text: str) -> Events:
        return [
            ResponseCustomToolCallInputDeltaEvent(
                type="response.custom_tool_call_input.delta",
                item_id=self.id,
                output_index=self.index,
                delta=text,
                sequence_number=next(self.numbers),
            )
        ]

    def part_done(self, part: int, text: str) -> Events:
        return [
            ResponseCustomToolCallInputDoneEvent(
                type="response.custom_tool_call_input.done",
                item_id=self.id,
                output_index=self.index,
                input=text,
                sequence_number=next(self.numbers),
            )
        ]


def _check_format(given: object, where: str) -> None:
    kind = given.get("type") if isinstance(given, Mapping) else None
    if given is None or kind == "text":
        return
    if not isinstance(given, Mapping) or kind != "grammar":
        raise InvalidRequest(f"{where} must have the type text or grammar.", param=where)
    syntax = given.get("syntax")
    if syntax not in SYNTAXES or not isinstance(given.get("definition"), str):
        raise InvalidRequest(
            f"{where} must have a definition and the syntax lark or regex, not {shortened(syntax)}.",
            param=where,
        )


CUSTOM = CustomTool()
