"""Run a command or Python as one turn of a runtime, with live progress, and read its result."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from mcp_types import CallToolResult, ContentBlock, ImageContent, InputRequiredResult, TextContent

from agent_kernel.errors import SandboxError
from agent_kernel.mcp_server.asking import ElicitedAnswer, Pending, ask, given
from agent_kernel.mcp_server.callers import Call, Callers
from agent_kernel.protocol.fold import Fold
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.base import Runtime

Json = Mapping[str, Any]

PRINTED = ("response.shell_call_output_content.delta", "agent_kernel.code_interpreter_call.printed")
"""Events with output of what runs."""

MOST_LIVE = 256 << 10
"""Characters of output that are reported while a call runs."""
LONGEST_NOTE = 4 << 10
"""Characters of one report."""
MOST_TEXT = 64 << 10
"""Characters of each output in a result; of more, the beginning and the end."""


@dataclass(frozen=True)
class Work:
    """What to run: the model that runs its input, the input, and the tool with its container."""

    model: str
    text: str
    tool: Json
    seconds: float | None = None

    def request(self) -> dict[str, Any]:
        """Return the request of a turn that runs it."""
        return {
            "model": self.model,
            "tools": [self.tool],
            "input": self.text,
            "include": ["code_interpreter_call.outputs"],
            **({"agent_kernel": {"budget": {"seconds": self.seconds}}} if self.seconds is not None else {}),
        }

    def after(self, pending: Pending, decision: ElicitedAnswer) -> dict[str, Any]:
        """Return the request of the turn that answers a question about it."""
        answer: dict[str, Any] = {
            "type": "mcp_approval_response",
            "approval_request_id": pending.approval_id,
            "approve": decision.approve,
        }
        if decision.reason is not None:
            answer["reason"] = decision.reason
        return {**self.request(), "previous_response_id": pending.response_id, "input": [answer]}


def shell(container_id: str, command: str, seconds: float | None) -> Work:
    """Return the work of a command. It is judged as a model's."""
    environment = {"type": "container_reference", "container_id": container_id}
    return Work("agent_kernel/agent_shell", command, {"type": "shell", "environment": environment}, seconds)


def python(container_id: str, code: str, seconds: float | None) -> Work:
    """Return the work of Python code. It is judged as a model's."""
    tool = {"type": "code_interpreter", "container": container_id, "agent_kernel": {"outputs": True}}
    return Work("agent_kernel/agent_python", code, tool, seconds)


async def run(callers: Callers, call: Call, work: Work) -> CallToolResult | InputRequiredResult:
    """Run it and return what it printed, or the question that has to be answered first.

    Raises what `Runtime.respond` raises, and `SandboxError` for a turn that failed. Cancelling stops it.
    """
    runtime = callers.runtime(call)
    answered = given(call)
    request = work.request() if answered is None else work.after(*answered)
    response = await _turn(runtime, call, request)
    while (pending := _pending(response)) is not None:
        decision = await ask(call, pending)
        if isinstance(decision, InputRequiredResult):
            return decision
        response = await _turn(runtime, call, work.after(pending, decision))
    return _result(response)


async def _turn(runtime: Runtime, call: Call, request: Json) -> Json:
    fold, told = Fold(), 0
    events: AsyncGenerator[Any, None] = runtime.respond(request)
    async with aclosing(events):
        async for event in events:
            fold.add(event)
            text = _printed(event)
            if text and told < MOST_LIVE:
                told += len(text)
                await call.report_progress(told, None, text[-LONGEST_NOTE:])
    return to_json(fold.response())


def _printed(event: Any) -> str:
    if event.type not in PRINTED:
        return ""
    delta = event.delta
    if isinstance(delta, str):
        return delta
    return (getattr(delta, "stdout", None) or "") + (getattr(delta, "stderr", None) or "")


def _pending(response: Json) -> Pending | None:
    last = response["output"][-1] if response["output"] else {}
    if last.get("type") != "mcp_approval_request" or last.get("server_label") != "agent_kernel":
        return None
    return Pending.of(response["id"], last)


def _result(response: Json) -> CallToolResult:
    if response["status"] == "failed":
        raise SandboxError((response.get("error") or {}).get("message") or "The call failed.")
    content: list[ContentBlock] = []
    failed = False
    for item in response["output"]:
        if item["type"] == "shell_call_output":
            for output in item["output"]:
                content.append(_text(_of_command(output)))
                failed = failed or output["outcome"].get("exit_code") != 0
        elif item["type"] == "code_interpreter_call":
            content += _of_code(item)
            failed = failed or item["status"] != "completed"
    if response["status"] == "incomplete":
        reason = (response.get("incomplete_details") or {}).get("reason")
        content.append(_text(f"[Stopped before its end: {reason}.]"))
        failed = True
    return CallToolResult(content=content or [_text("[Nothing ran.]")], is_error=failed)


def _of_command(output: Json) -> str:
    outcome = output["outcome"]
    ended = f"exit code {outcome['exit_code']}" if outcome["type"] == "exit" else outcome["type"]
    log = (output.get("agent_kernel") or {}).get("log")
    parts = [_cut(output["stdout"]), _cut(output["stderr"]), f"[{ended}]"]
    whole = [f"[The whole output is in {log}.]"] if log else []
    return "\n".join(part.rstrip("\n") for part in [*parts, *whole] if part)


def _of_code(item: Json) -> list[ContentBlock]:
    content: list[ContentBlock] = []
    for output in item.get("outputs") or ():
        if output["type"] == "logs":
            content.append(_text(_cut(output["logs"])))
        else:
            mime, _, data = output["url"].removeprefix("data:").partition(";base64,")
            content.append(ImageContent(type="image", data=data, mime_type=mime))
    return content or [_text("[No output.]")]


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)


def _cut(text: str) -> str:
    if len(text) <= MOST_TEXT:
        return text
    half = MOST_TEXT // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"
