"""Questions and decisions as the live view's page exchanges them with the kernel. Pure."""

from __future__ import annotations

from typing import Any

from agent_kernel.kernel.asking.types import ApprovalRequest, Decision


def question_json(request: ApprovalRequest) -> dict[str, Any]:
    """Return what the page shows of a question."""
    return {
        "id": request.id,
        "commands": list(request.commands),
        "reason": request.reason,
        "kind": request.kind,
        "editable": request.editable,
    }


def read_decision(request: ApprovalRequest, content: dict[str, Any]) -> Decision | str:
    """Return the decision in a message from the page, or a text that says what is wrong with it."""
    reason = str(content.get("reason") or "").strip() or None
    if content.get("approve") is not True:
        return Decision(False, reason=reason)
    commands = content.get("commands")
    if commands is None:
        return Decision(True, reason=reason, remember=content.get("remember") is True)
    if not request.editable:
        return "This call cannot be changed. Allow or deny it as it is."
    if not isinstance(commands, list) or len(commands) != len(request.commands):
        return "The number of commands has changed. Deny instead, and say what is to be done."
    if not all(isinstance(command, str) and command.strip() for command in commands):
        return "A command is empty. Deny instead, or write `true` for one that does nothing."
    return Decision(True, tuple(commands) if tuple(commands) != request.commands else None, reason)


def in_words(request: ApprovalRequest, decision: Decision) -> str:
    """Say what the person decided."""
    if not decision.approve:
        return f"You denied this: {decision.reason}" if decision.reason else "You denied this."
    if decision.commands:
        return "You allowed this in your own words: " + "; ".join(decision.commands)
    if decision.remember:
        return f"You allowed this, and from now on: {request.kind or 'these very commands'}"
    return "You allowed this once."
