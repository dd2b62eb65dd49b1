"""The tool `tool_search`. The server searches the request's own tools, or the client answers the call.

Every model gets the search as a function. A call of the server has no `call_id`, as in OpenAI's API: it is
known by its item's id, and its output follows it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol import ids
from agent_kernel.protocol.calls import CallDone, CallDraft, CallItem, CallStart, OutputDraft
from agent_kernel.protocol.drafts import Events
from agent_kernel.protocol.items import ItemStatus, ResponseOutputItem, item_of
from agent_kernel.protocol.validation import shortened
from agent_kernel.tools.arguments import UnreadableArguments, read_object
from agent_kernel.tools.base import Tool, ToolEntry
from agent_kernel.tools.context import ToolContext
from agent_kernel.tools.custom import SilentCall
from agent_kernel.tools.live import malformed_call
from agent_kernel.tools.tool_search.loading import OUTPUT, TYPE, definitions, find, listed, waiting

Json = Mapping[str, Any]

CALL = "tool_search_call"
NONE_FOUND = "No tool was found. Search with other words, or answer without."
DESCRIPTION = (
    "Load tools that are not listed among your functions yet. After this call you can call them. Give"
    " `query`, words for what the tool should do, or `paths`, names from this list:"
)
PARAMETERS: Json = {
    "type": "object",
    "properties": {
        "query": {"type": "string", "description": "Words for what the tool should do."},
        "paths": {"type": "array", "items": {"type": "string"}, "description": "Names from the list."},
    },
    "additionalProperties": False,
}


class ToolSearch(Tool):
    """The tool `{"type": "tool_search"}`."""

    type = TYPE
    call_type = CALL
    output_type = OUTPUT
    id_prefixes = ("tsc_", "tso_")
    has_call_ids = False

    # -- the request

    def read(self, spec: Json, index: int) -> ToolEntry:
        where, execution = f"tools[{index}]", spec.get("execution")
        if execution not in (None, "server", "client"):
            raise InvalidRequest(
                f"{where}.execution must be server or client, not {shortened(execution)}.",
                param=f"{where}.execution",
            )
        if not isinstance(spec.get("description"), str | None):
            raise InvalidRequest(f"{where}.description must be a string.", param=f"{where}.description")
        if not isinstance(spec.get("parameters"), Mapping | None):
            raise InvalidRequest(f"{where}.parameters must be an object.", param=f"{where}.parameters")
        return ToolEntry(self, index, spec, at_client=execution == "client")

    def check_item(self, item: Json, where: str) -> None:
        if item.get("execution") == "client":
            super().check_item(item, where)
        field, kind = ("tools", list) if item["type"] == OUTPUT else ("arguments", Mapping)
        if not isinstance(item.get(field), kind):
            raise InvalidRequest(
                f"{where}.{field} is missing or of the wrong type.", param=f"{where}.{field}"
            )

    # -- offering it, and reading a call

    def offered(self, entry: ToolEntry, tools: Sequence[ToolEntry]) -> ToolEntry:
        if entry.at_client:
            return entry
        names = listed(waiting(tools))
        return replace(entry, spec={**entry.spec, "description": f"{DESCRIPTION}\n{names}"})

    def function_spec(self, entry: ToolEntry) -> Json:
        parameters = entry.spec.get("parameters") if entry.at_client else None
        return {
            "description": entry.spec.get("description") or "Search for tools.",
            "parameters": parameters or PARAMETERS,
        }

    def call_labels(self, entry: ToolEntry) -> Json:
        return {"execution": "client"} if entry.at_client else {}

    def live_call(self, call_id: str) -> SilentCall:
        return SilentCall(self, call_id)

    def read_arguments(self, call_id: str, arguments: str) -> CallDone:
        try:
            value = read_object(arguments)
            arguments.encode()
        except (UnreadableArguments, UnicodeEncodeError) as error:
            raise malformed_call(self.type, str(error), arguments) from None
        return CallDone(self, call_id, (json.dumps(value, ensure_ascii=False),))

    def read_native_item(self, call_id: str, item: Any) -> CallDone:
        given = getattr(item, "arguments", None)
        return self.read_arguments(call_id, given if isinstance(given, str) else json.dumps(given or {}))

    # -- its items

    def call_draft(self, index: int, numbers: Iterator[int], start: CallStart) -> CallDraft:
        return ToolSearchCallDraft(index, numbers, start)

    def output_draft(self, index: int, numbers: Iterator[int], call: CallItem) -> OutputDraft:
        return ToolSearchOutputDraft(index, numbers)

    def output_item(self, call: Json, why: str) -> Json:
        fields: Json = {"call_id": call.get("call_id"), "execution": call.get("execution"), "tools": []}
        return {"id": ids.item_id(OUTPUT, "tso_"), "type": OUTPUT, **fields, "status": "incomplete"}

    def interrupted_call(self, item: Json, parts: Sequence[str]) -> Json:
        return {**item, "status": "incomplete"}

    def interrupted_output(self, item: Json, call: Json | None, events: Sequence[Json]) -> Json:
        return {**item, "status": "incomplete"}

    # -- running it

    def policy_subject(self, call: Json) -> None:
        return None

    def refuse(self, call: Json, why: str) -> Iterator[list[Json]]:
        yield []

    async def run(self, call: Json, context: ToolContext) -> None:
        await context.emit(definitions(find(self.arguments(call), waiting(context.tools))))

    def unanswered(self, call: Json, why: str) -> Any:
        return why

    # -- presenting it to a model

    def arguments(self, call: Json) -> Json:
        given = call.get("arguments")
        return given if isinstance(given, Mapping) else {}

    def arguments_text(self, call: Json) -> str:
        return json.dumps(self.arguments(call), ensure_ascii=False)

    def result(self, output: Json) -> str:
        names = [name for spec in output.get("tools") or () for name in _names(spec)]
        return f"You can call now: {', '.join(names)}." if names else NONE_FOUND

    def transcript(self, item: Json) -> Iterator[str]:
        if item["type"] == CALL:
            yield f"searched for tools: {self.arguments_text(item)}"
        else:
            yield f"got: {self.result(item)}"


def _names(spec: Any) -> Iterator[str]:
    if not isinstance(spec, Mapping):
        return
    inner = spec.get("tools")
    if spec.get("type") == "namespace" and isinstance(inner, list):
        yield from (
            f"{each.get('name')} of {spec.get('name')}" for each in inner if isinstance(each, Mapping)
        )
    else:
        yield str(spec.get("name"))


class ToolSearchCallDraft(CallDraft):
    """The draft of a call. It is added whole and has no events of its own."""

    def __init__(self, index: int, numbers: Iterator[int], start: CallStart) -> None:
        super().__init__(index, numbers, start)
        self.id = ids.item_id(CALL, "tsc_")

    def item(self, status: ItemStatus) -> ResponseOutputItem:
        execution = self.start.labels.get("execution") or "server"
        written = "".join(self.texts())
        return item_of(
            {
                "id": self.id,
                "type": CALL,
                "arguments": json.loads(written) if written else {},
                "call_id": self.call_id if execution == "client" else None,
                "execution": execution,
                "status": status,
            }
        )

    def part_delta(self, part: int, text: str) -> Events:
        return []

    def part_done(self, part: int, text: str) -> Events:
        return []


class ToolSearchOutputDraft(OutputDraft):
    """The draft of what was found. It accepts one list of tools."""

    def __init__(self, index: int, numbers: Iterator[int]) -> None:
        super().__init__(index, numbers)
        self.id = ids.item_id(OUTPUT, "tso_")
        self._tools: Sequence[Json] = ()

    def item(self, status: ItemStatus) -> ResponseOutputItem:
        fields = {"call_id": None, "execution": "server", "tools": list(self._tools)}
        return item_of({"id": self.id, "type": OUTPUT, **fields, "status": status})

    def write(self, piece: Sequence[Json]) -> Events:
        self._tools = piece
        return []

    def close_unfinished(self, why: str) -> Events:
        return []


TOOL_SEARCH = ToolSearch()
