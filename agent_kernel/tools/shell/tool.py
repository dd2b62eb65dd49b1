"""The shell tool. Its execution is in `run`, its items are in `drafts`, its function form is in `spec`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

from agent_kernel.protocol.calls import CallDelta, CallDone, CallStart
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.tools.base import Tool, ToolEntry
from agent_kernel.tools.context import LostCall, RejoinedCall, ToolContext
from agent_kernel.tools.shell import items as t
from agent_kernel.tools.shell.call import run_in
from agent_kernel.tools.shell.drafts import INTERRUPTED, ShellCallDraft, ShellOutputDraft
from agent_kernel.tools.shell.environment import read_environment, with_environment
from agent_kernel.tools.shell.rejoin import abandoned, rejoined
from agent_kernel.tools.shell.run import CommandResult, on_own_line
from agent_kernel.tools.shell.spec import DESCRIPTION, LIMITS, PARAMETERS, LiveShellCall, parse_call

Json = Mapping[str, Any]

NOT_RUN = 126
"""Exit code of a command that was refused: the one that shells use for a file they cannot execute."""

_PRINTED = ("stdout", "stderr", "outcome")


class ShellTool(Tool):
    """The tool `{"type": "shell", "environment": {...}}`."""

    type = "shell"
    call_type = t.CALL
    output_type = t.OUTPUT
    id_prefixes = ("sh_", "sho_")
    in_sandbox = True
    audits_itself = True  # each command has its own lines
    resumable = True

    # -- the request

    def read(self, spec: Json, index: int) -> ToolEntry:
        field = "environment" if spec.get("container") is None else "container"
        spec = with_environment(spec, f"tools[{index}]")
        return ToolEntry(self, index, spec, read_environment(spec.get("environment"), index, field))

    def shown(self, entry: ToolEntry, container_id: str | None) -> Json:
        if container_id is None or entry.by_client:
            return entry.spec
        return {**entry.spec, "environment": {"type": "container_reference", "container_id": container_id}}

    # -- offering it, and reading a call

    def native_spec(self, entry: ToolEntry) -> Json:
        return {"type": "shell", "environment": {"type": "local"}}

    def function_spec(self, entry: ToolEntry) -> Json:
        return {"description": DESCRIPTION, "parameters": PARAMETERS}

    def live_call(self, call_id: str) -> LiveShellCall:
        return LiveShellCall(self, call_id)

    def read_arguments(self, call_id: str, arguments: str) -> CallDone:
        return parse_call(self, call_id, arguments)

    native_events = frozenset({"response.shell_call_command.added", "response.shell_call_command.delta"})

    def read_native_event(self, call_id: str, event: Any) -> Iterator[CallDelta]:
        text = event.delta if event.type.endswith("delta") else event.command
        yield CallDelta(self, call_id, text, part=event.command_index)

    def read_native_item(self, call_id: str, item: Any) -> CallDone:
        action = getattr(item, "action", None)
        given = {name: getattr(action, name, None) for name in ("commands", *LIMITS)}
        return parse_call(self, call_id, json.dumps({n: v for n, v in given.items() if v is not None}))

    # -- its items

    def call_draft(self, index: int, numbers: Iterator[int], start: CallStart) -> ShellCallDraft:
        return ShellCallDraft(index, numbers, start)

    def output_draft(self, index: int, numbers: Iterator[int], call: Any) -> ShellOutputDraft:
        return ShellOutputDraft(index, numbers, call)

    # -- before it runs

    def policy_subject(self, call: Json) -> Sequence[str]:
        return list(call["action"]["commands"])

    def container_of(self, call: Json) -> str | None:
        environment = call.get("environment")
        if isinstance(environment, Mapping) and environment.get("type") == "container_reference":
            container_id = environment.get("container_id")
            return container_id if isinstance(container_id, str) else None
        return None

    def question(self, call: Json) -> dict[str, Any]:
        action = call["action"]
        asked: dict[str, Any] = {"commands": list(action["commands"])}
        if action.get("timeout_ms") is not None:
            asked["timeout_ms"] = action["timeout_ms"]
        return asked

    def edited(self, call: Json, commands: Sequence[str]) -> Json:
        return {**call, "action": {**call["action"], "commands": list(commands)}}

    def refuse(self, call: Json, why: str) -> Iterator[CommandResult]:
        for index in range(len(call["action"]["commands"])):
            yield CommandResult(index, "", why, NOT_RUN)

    async def run(self, call: Json, context: ToolContext) -> None:
        await run_in(call["action"], context)

    def rejoin(self, calls: Sequence[LostCall], response_id: str, known: Set[str]) -> list[RejoinedCall]:
        return rejoined(calls, response_id, known)

    async def abandon(self, calls: Sequence[LostCall], spec: Json, channel: Channel) -> None:
        await abandoned(calls, channel)

    # -- after it ran

    def outcomes(self, output: Json) -> Sequence[str]:
        found = [content["outcome"] for content in output["output"]]
        return ["timeout" if each["type"] == "timeout" else str(each["exit_code"]) for each in found]

    def unanswered(self, call: Json, why: str) -> list[Json]:
        content = {"stdout": "", "stderr": why, "outcome": {"type": "exit", "exit_code": INTERRUPTED}}
        return [content for _ in call["action"]["commands"]]

    def output_item(self, call: Json, why: str) -> Json:
        item = super().output_item(call, why)
        return {**item, "max_output_length": call["action"].get("max_output_length")}

    def interrupted_call(self, item: Json, parts: Sequence[str]) -> Json:
        return {**item, "action": {**item["action"], "commands": list(parts)}}

    def interrupted_output(self, item: Json, call: Json | None, events: Sequence[Json]) -> Json:
        done = {e["command_index"]: e["output"][0] for e in events if e["type"].endswith("content.done")}
        count = len(call["action"]["commands"]) if call else 0
        return {**item, "output": [done.get(n) or _interrupted(n, events) for n in range(count)]}

    # -- presenting it to a model

    def arguments(self, call: Json) -> Json:
        action = call.get("action") or {}
        names = ("commands", *LIMITS)
        return {name: action[name] for name in names if action.get(name) is not None}

    def result(self, output: Json) -> str:
        contents = output.get("output") or []
        return json.dumps([{n: c.get(n) for n in _PRINTED} for c in contents], ensure_ascii=False)

    def annotated(self, output: Json, lines: Mapping[int, str]) -> Json:
        contents = [dict(each) for each in output.get("output") or ()]
        for index, line in lines.items():
            if index < len(contents):
                contents[index]["stderr"] = on_own_line(str(contents[index].get("stderr") or ""), line)
        return {**output, "output": contents}

    def native_call(self, call: Json) -> Json:
        fields = {name: call[name] for name in ("call_id", "action")}
        return {"type": t.CALL, **fields, "status": "completed", "environment": {"type": "local"}}

    def native_output(self, output: Json) -> Json:
        contents = [{name: content[name] for name in _PRINTED} for content in output.get("output") or []]
        fields: dict[str, Any] = {"type": t.OUTPUT, "call_id": output["call_id"], "output": contents}
        if output.get("max_output_length") is not None:
            fields["max_output_length"] = output["max_output_length"]
        return fields

    def transcript(self, item: Json) -> Iterator[str]:
        if item["type"] == t.CALL:
            yield from (f"ran: {command}" for command in item["action"]["commands"])
        else:
            yield from (f"printed: {each['stdout']}{each['stderr']}" for each in item["output"])

    def printed(self, output: Json) -> Iterator[str]:
        yield from (str(content.get("stdout") or "") for content in output.get("output") or ())


SHELL = ShellTool()


def _interrupted(index: int, events: Sequence[Json]) -> Json:
    pieces = [
        e["delta"] for e in events if e["type"].endswith("content.delta") and e["command_index"] == index
    ]
    out = "".join(piece.get("stdout", "") for piece in pieces)
    err = "".join(piece.get("stderr", "") for piece in pieces)
    note = err + ("\n" if err and not err.endswith("\n") else "") + "The command did not run to its end."
    return {"stdout": out, "stderr": note, "outcome": {"type": "exit", "exit_code": INTERRUPTED}}
