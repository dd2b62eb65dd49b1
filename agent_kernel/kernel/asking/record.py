"""Approval decisions as stored in a notebook, and as the live view tells them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from agent_kernel.kernel.asking.types import ApprovalRequest, Decision
from agent_kernel.kernel.render.approval import LONGEST, one_line
from agent_kernel.kernel.render.bundles import Bundle, note
from agent_kernel.kernel.render.text import clip, code


def decision_note(
    request: ApprovalRequest | None, decision: Decision, *, remembered: bool, by_person: bool = True
) -> Bundle:
    """Return the line about a decision; `request` is None if it could not be read.

    `remembered`: the kind was allowed before, so no one was asked. `by_person`: a person decided.
    """
    if request is not None and remembered:
        return note(f"You allowed {_others(request)} before, so you were not asked again.")
    if request is not None and by_person:
        return note(in_words(request, decision))
    reasons = (decision.reason, request.reason if request else None)
    return note(f"**Not run**: {' '.join(one_line(reason) for reason in reasons if reason)}")


def in_words(request: ApprovalRequest, decision: Decision) -> str:
    """Return a sentence in Markdown about what the user decided."""
    this = _this(request)
    if request.about == "rerun":
        return _going_back(decision)
    if request.about == "elicitation":
        return "You answered the server." if decision.approve else "You did not answer the server."
    if not decision.approve:
        reason = one_line(decision.reason or "")
        return f"You denied {this}: {reason}" if reason else f"You denied {this}."
    if decision.commands is not None:
        return f"You changed {this} before allowing it: {_commands(decision.commands)}"
    if request.about == "network":
        return f"You allowed {this} {'in this notebook' if decision.remember else 'once'}."
    if decision.remember:
        return f"You allowed {this}, and {_others(request)}, until the kernel stops."
    return f"You allowed {this} once."


def _going_back(decision: Decision) -> str:
    if not decision.approve:
        return "You chose to continue from where the notebook was."
    return f"You chose to go back{', always in this notebook' * decision.remember}."


def _this(request: ApprovalRequest) -> str:
    if request.about == "network":
        return f"connections to {code(one_line(request.commands[0]))}"
    if not request.editable:
        return "this call"
    return "these commands" if len(request.commands) > 1 else "this command"


def _others(request: ApprovalRequest) -> str:
    return request.kind or "exactly the same again"


def _commands(commands: Sequence[str]) -> str:
    return ", ".join(code(clip(" ".join(command.split()), LONGEST)) for command in commands)
