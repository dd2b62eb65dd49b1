"""The tool `mcp`. Its servers are in `servers`, its items in `drafts`, its entry in `spec`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol import ids
from agent_kernel.protocol.calls import CallDone, CallItem, CallStart
from agent_kernel.protocol.items import to_json
from agent_kernel.tools.arguments import UnreadableArguments, read_object
from agent_kernel.tools.base import Environment, ToolEntry
from agent_kernel.tools.context import ToolContext
from agent_kernel.tools.live import malformed_call
from agent_kernel.tools.mcp.connection import McpFailure
from agent_kernel.tools.mcp.drafts import ARGUMENTS_DONE, CALL, PREFIX, McpCallDraft, McpOutputDraft
from agent_kernel.tools.mcp.listing import ListedTool
from agent_kernel.tools.mcp.results import (
    NOT_RUN,
    PROTOCOL,
    McpOutcome,
    McpProgress,
    error_text,
    failure,
)
from agent_kernel.tools.mcp.servers import TurnServers
from agent_kernel.tools.mcp.spec import read_server
from agent_kernel.tools.one_item import NO_END, OneItemTool
from agent_kernel.tools.outside import from_outside

Json = Mapping[str, Any]


class Mcp(OneItemTool):
    """The tools `{"type": "mcp", "server_label": ...}`: an entry stands for all tools of a server."""

    type = "mcp"
    call_type = CALL
    id_prefix = PREFIX
    repeated = True
    parallel = True
    waits_unshown = True
    lists = True
    outside = True

    # -- the request

    def read(self, spec: Json, index: int) -> ToolEntry:
        server, shown = read_server(spec, index)
        inside = Environment("auto", index, field="agent_kernel") if server.command else None
        return ToolEntry(self, index, shown, inside, private=server)

    def check_item(self, item: Json, where: str) -> None:
        super().check_item(item, where)
        for name in ("server_label", "name", "arguments"):
            if not isinstance(item.get(name), str):
                raise InvalidRequest(f"{where}.{name} must be a string.", param=f"{where}.{name}")

    # -- offering it, and reading a call

    def function_spec(self, entry: ToolEntry) -> Json:
        return entry.spec

    def read_arguments(self, call_id: str, arguments: str) -> CallDone:
        try:
            value = read_object(arguments)
            arguments.encode()
        except UnreadableArguments as error:
            raise malformed_call(self.type, str(error), arguments) from None
        except UnicodeEncodeError:
            why = "its arguments have characters that UTF-8 cannot encode"
            raise malformed_call(self.type, why, arguments) from None
        return CallDone(self, call_id, (json.dumps(value, ensure_ascii=False),))

    def called_as(self, call: Json) -> tuple[str, str]:
        return str(call.get("server_label")), str(call.get("name"))

    # -- its items

    def call_draft(self, index: int, numbers: Iterator[int], start: CallStart) -> McpCallDraft:
        return McpCallDraft(index, numbers, start)

    def output_draft(self, index: int, numbers: Iterator[int], call: CallItem) -> McpOutputDraft:
        return McpOutputDraft(index, numbers, to_json(call))

    # -- before it runs

    def policy_subject(self, call: Json) -> Sequence[str]:
        return [f"mcp {call['server_label']} {call['name']} {call['arguments']}"]

    def has_effects(self, entry: ToolEntry | None, call: Json, earlier: Sequence[Json]) -> bool:
        """Return whether the server does not call the tool read-only."""
        listed = entry.private if entry is not None else None
        return not (isinstance(listed, ListedTool) and listed.read_only)

    def asks(self, entry: ToolEntry, call: Json, earlier: Sequence[Json]) -> str | None:
        listed = entry.private
        if isinstance(listed, ListedTool) and not listed.asks:
            return None
        return "The request wants calls of this tool approved."

    def approval_request(self, call: Json, reason: str) -> Json:
        return {
            "id": ids.item_id("mcp_approval_request"),
            "type": "mcp_approval_request",
            "arguments": call["arguments"],
            "name": call["name"],
            "server_label": call["server_label"],
        }

    def asked_call(self, request: Json) -> Json:
        fields = {name: str(request.get(name) or "") for name in ("server_label", "name", "arguments")}
        return {"type": CALL, "id": request["id"], **fields}

    def labels_again(self, call: Json, request_id: str) -> Json:
        return {"namespace": call["server_label"], "approval_request_id": request_id}

    def question(self, call: Json) -> dict[str, Any]:
        return dict(self.arguments(call))

    def refuse(self, call: Json, why: str) -> Iterator[McpOutcome]:
        yield failure(PROTOCOL, NOT_RUN, why)

    # -- running it

    async def run(self, call: Json, context: ToolContext) -> None:
        listed = context.private
        if not isinstance(listed, ListedTool) or not isinstance(context.servers, TurnServers):
            await context.emit(failure(PROTOCOL, NOT_RUN, "This server has no such tool."))
            return

        async def progress(report: McpProgress) -> None:
            if listed.server.progress:
                await context.emit(report)

        try:
            outcome = await context.servers.call(
                listed.server, listed.name, dict(self.arguments(call)), progress
            )
        except McpFailure as error:
            outcome = failure(error.kind, error.number, error.message)
        await context.emit(outcome)

    def unanswered(self, call: Json, why: str) -> str:
        return why

    # -- after it ran, or did not

    def outcomes(self, output: Json) -> Sequence[str]:
        return [str(output.get("status"))]

    def whole_call(self, item: Json, events: Sequence[Json]) -> tuple[Json, Sequence[Json]] | None:
        for place, event in enumerate(events):
            if event["type"] == ARGUMENTS_DONE:
                return {**item, "arguments": event["arguments"]}, events[place + 1 :]
        return None

    def interrupted_output(self, item: Json, call: Json | None, events: Sequence[Json]) -> Json:
        written = "".join(event["delta"] for event in events if event["type"].endswith(".delta"))
        return {**item, "arguments": written or item.get("arguments"), "status": "incomplete"}

    # -- presenting it to a model

    def call_fields(self, item: Json) -> Json:
        return {name: str(item.get(name) or "") for name in ("server_label", "name", "arguments")}

    def told(self, item: Json) -> str:
        if item.get("error") is not None:
            text = f"The call failed: {error_text(item['error'])}"
        elif isinstance(item.get("output"), str):
            text = item["output"] or "[No output.]"
        else:
            return NO_END
        return from_outside(f"what the MCP server {item.get('server_label')} answered", text)

    def arguments(self, call: Json) -> Json:
        try:
            return read_object(str(call.get("arguments") or ""))
        except UnreadableArguments:  # it was cut off
            return {}

    def arguments_text(self, call: Json) -> str:
        return json.dumps(self.arguments(call), ensure_ascii=False)

    def transcript(self, item: Json) -> Iterator[str]:
        if item["type"] == CALL:
            yield f"called: {item['name']} of {item['server_label']} ({item['arguments']})"
        else:
            yield f"got: {item['output']}"


MCP = Mcp()
