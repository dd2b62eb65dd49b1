"""Approval decisions as stored in a notebook. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from agent_kernel.kernel.asking.types import Decision
from agent_kernel.kernel.render.approval import LONGEST, one_line
from agent_kernel.kernel.render.bundles import Bundle, note
from agent_kernel.kernel.render.text import clip, code


def decision_note(decision: Decision, *, remembered: bool) -> Bundle:
    """Return the line about a decision. `remembered`: the kind was allowed before, so no one was asked."""
    return note(_decided(decision, remembered=remembered))


def _decided(decision: Decision, *, remembered: bool) -> str:
    if not decision.approve:
        return f"**Denied**: {one_line(decision.reason)}" if decision.reason else "**Denied.**"
    if decision.commands is not None:
        return f"**Allowed, changed to** {_commands(decision.commands)}"
    if remembered:
        return "**Allowed**, like others of this kind in this notebook."
    return "**Allowed**, and others of this kind in this notebook." if decision.remember else "**Allowed.**"


def _commands(commands: Sequence[str]) -> str:
    return ", ".join(code(clip(" ".join(command.split()), LONGEST)) for command in commands)
