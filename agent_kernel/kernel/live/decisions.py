"""Questions and decisions as exchanged between the live view's page and the kernel. Pure."""

from __future__ import annotations

from typing import Any

from agent_kernel.kernel.asking.types import ApprovalRequest, Decision


def question_json(request: ApprovalRequest) -> dict[str, Any]:
    """Return the question as JSON for the page."""
    return {
        "id": request.id,
        "commands": list(request.commands),
        "reason": request.reason,
        "kind": request.kind,
        "editable": request.editable,
        "about": request.about,
    }


def read_decision(request: ApprovalRequest, content: dict[str, Any]) -> Decision | str:
    """Return the decision in a message from the page, or a text that says why it is invalid."""
    reason = str(content.get("reason") or "").strip() or None
    if content.get("approve") is not True:
        return Decision(False, reason=reason)
    commands = content.get("commands")
    if commands is None:
        return Decision(True, reason=reason, remember=content.get("remember") is True)
    if not request.editable:
        return "This call cannot be changed. Allow or deny it as it is."
    if not isinstance(commands, list) or len(commands) != len(request.commands):
        return "The number of commands has changed. Deny it instead, and say what to do."
    if not all(isinstance(command, str) and command.strip() for command in commands):
        return "A command is empty. Deny it instead, or write `true` for a command that does nothing."
    return Decision(True, tuple(commands) if tuple(commands) != request.commands else None, reason)
