"""Approval decisions as stored in a notebook. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from agent_kernel.kernel.asking.types import Decision
from agent_kernel.kernel.render.approval import LONGEST, one_line
from agent_kernel.kernel.render.bundles import Bundle, note
from agent_kernel.kernel.render.text import clip, code


def decision_note(decision: Decision, *, remembered: bool, by_person: bool = True) -> Bundle:
    """Return the line about a decision.

    `remembered`: the kind was allowed before, so no one was asked. `by_person`: a person decided.
    """
    return note(_decided(decision, remembered=remembered, by_person=by_person))


def _decided(decision: Decision, *, remembered: bool, by_person: bool) -> str:
    if not decision.approve and not by_person:
        return f"**Not run**: {one_line(decision.reason or '')}"
    if not decision.approve:
        reason = one_line(decision.reason or "")
        return (
            f"You denied this, so it did not run: {reason}"
            if reason
            else "You denied this, so it did not run."
        )
    if decision.commands is not None:
        return f"**Allowed, changed to** {_commands(decision.commands)}"
    if remembered:
        return "**Allowed**, like others of this kind in this notebook."
    return "**Allowed**, and others of this kind in this notebook." if decision.remember else "**Allowed.**"


def _commands(commands: Sequence[str]) -> str:
    return ", ".join(code(clip(" ".join(command.split()), LONGEST)) for command in commands)
