"""The tool `apply_patch`. `inside` applies the patches, `drafts` has its items, `spec` its function form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from openai import BaseModel

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.calls import CallDelta, CallDone, CallItem, CallStart
from agent_kernel.protocol.validation import shortened
from agent_kernel.tools.apply_patch.drafts import CALL, OUTPUT, PatchCallDraft, PatchOutputDraft, PatchResult
from agent_kernel.tools.apply_patch.run import apply
from agent_kernel.tools.apply_patch.spec import (
    LivePatch,
    description,
    environment_of,
    head_of,
    parameters,
    parse_call,
    read_operation,
)
from agent_kernel.tools.base import Tool, ToolEntry
from agent_kernel.tools.context import ToolContext
from agent_kernel.tools.live import malformed_call

Json = Mapping[str, Any]

NO_END = "The call did not run to its end. The file is as before or as after the patch."


class ApplyPatch(Tool):
    """The tool `{"type": "apply_patch", "agent_kernel": {"environment": ...}}`.

    Without the extension the client applies the patches, as in the API.
    """

    type = "apply_patch"
    call_type = CALL
    output_type = OUTPUT
    id_prefixes = ("apc_", "apco_")
    in_sandbox = True

    # -- the request

    def read(self, spec: Json, index: int) -> ToolEntry:
        return ToolEntry(self, index, spec, environment_of(spec, index))

    def shown(self, entry: ToolEntry, container_id: str | None) -> Json:
        if container_id is None or entry.by_client:
            return entry.spec
        reference = {"type": "container_reference", "container_id": container_id}
        return {**entry.spec, "agent_kernel": {"environment": reference}}

    def check_item(self, item: Json, where: str) -> None:
        super().check_item(item, where)
        operation = item.get("operation")
        if item["type"] == CALL and (not isinstance(operation, Mapping) or head_of(operation) is None):
            raise InvalidRequest(
                f"{where}.operation must have a type and a path, not {shortened(operation)}.",
                param=f"{where}.operation",
            )

    # -- offering it, and reading a call

    def native_spec(self, entry: ToolEntry) -> Json:
        return {"type": "apply_patch"}

    def function_spec(self, entry: ToolEntry) -> Json:
        local = entry.by_client
        return {"description": description(by_client=local), "parameters": parameters(by_client=local)}

    def live_call(self, call_id: str) -> LivePatch:
        return LivePatch(self, call_id)

    def read_arguments(self, call_id: str, arguments: str) -> CallDone:
        return parse_call(self, call_id, arguments)

    native_events = frozenset({"response.apply_patch_call_operation_diff.delta"})

    def read_native_event(self, call_id: str, event: Any) -> Iterator[CallDelta]:
        yield from ()  # the event has no path, and the item needs one: it comes whole

    def read_native_item(self, call_id: str, item: Any) -> CallDone:
        given: Any = getattr(item, "operation", None)
        operation = given.to_dict(warnings=False) if isinstance(given, BaseModel) else given
        if not isinstance(operation, Mapping):
            raise malformed_call(self.type, "it has no operation", "")
        return read_operation(self, call_id, operation, str(operation)[:200])

    # -- its items

    def call_draft(self, index: int, numbers: Iterator[int], start: CallStart) -> PatchCallDraft:
        return PatchCallDraft(index, numbers, start)

    def output_draft(self, index: int, numbers: Iterator[int], call: CallItem) -> PatchOutputDraft:
        return PatchOutputDraft(index, numbers, call)

    # -- before it runs

    def policy_subject(self, call: Json) -> Sequence[str]:
        operation = call["operation"]
        moved = (call.get("agent_kernel") or {}).get("move_to")
        return [" ".join(filter(None, [self.type, operation["type"], operation["path"], moved]))]

    def question(self, call: Json) -> dict[str, Any]:
        return dict(self.arguments(call))

    def refuse(self, call: Json, why: str) -> Iterator[PatchResult]:
        yield PatchResult(False, why)

    # -- running it

    async def run(self, call: Json, context: ToolContext) -> None:
        async with context.sandbox() as channel:
            result = await apply(channel, self.arguments(call))
        if context.note:
            result = PatchResult(result.done, f"{result.said}\n{context.note}")
        await context.emit(result)

    # -- after it ran, or did not

    def unanswered(self, call: Json, why: str) -> str:
        return why

    def output_item(self, call: Json, why: str) -> Json:
        return {**super().output_item(call, why), "status": "failed"}

    def interrupted_call(self, item: Json, parts: Sequence[str]) -> Json:
        operation = dict(item["operation"])
        if operation["type"] != "delete_file":
            operation["diff"] = "".join(parts)
        return {**item, "operation": operation, "status": "in_progress"}

    def interrupted_output(self, item: Json, call: Json | None, events: Sequence[Json]) -> Json:
        return {**item, "output": NO_END, "status": "failed"}

    # -- presenting it to a model

    def arguments(self, call: Json) -> Json:
        ours = call.get("agent_kernel")
        moved = ours.get("move_to") if isinstance(ours, Mapping) else None
        return {**call["operation"], **({"move_to": moved} if moved else {})}

    def result(self, output: Json) -> str:
        said = output.get("output")
        if isinstance(said, str) and said:
            return said
        return "Applied." if output.get("status") == "completed" else "Not applied."

    def native_call(self, call: Json) -> Json:
        operation = {
            name: call["operation"][name] for name in ("type", "path", "diff") if name in call["operation"]
        }
        return {"type": CALL, "call_id": call["call_id"], "status": "completed", "operation": operation}

    def native_output(self, output: Json) -> Json:
        status = "completed" if output.get("status") == "completed" else "failed"
        return {"type": OUTPUT, "call_id": output["call_id"], "status": status, "output": self.result(output)}

    def transcript(self, item: Json) -> Iterator[str]:
        if item["type"] == CALL:
            yield f"patched: {to_text(item['operation'])}"
        else:
            yield f"result: {self.result(item)}"


def to_text(operation: Json) -> str:
    """Return an operation as text for a transcript."""
    head = f"{operation.get('type')} {operation.get('path')}"
    return f"{head}\n{operation['diff']}" if operation.get("diff") else head


APPLY_PATCH = ApplyPatch()
