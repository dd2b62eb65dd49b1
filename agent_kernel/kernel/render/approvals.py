"""Approvals in the record: what was asked, and what was decided. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agent_kernel.kernel.render.bundles import QUIET, Bundle, ShownItem, box, note
from agent_kernel.kernel.render.markdown import to_inline_html, to_safe_markdown
from agent_kernel.kernel.render.text import clip, code

if TYPE_CHECKING:
    from agent_kernel.kernel.asking.approvals import Decision

LONGEST = 2000
"""Characters of a reason or a command in one line."""


def arguments_of(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an `mcp_approval_request` is about; empty where it cannot be read."""
    try:
        found = json.loads(str(item.get("arguments")))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def approval_request(item: Mapping[str, Any], _limit: int = 0) -> ShownItem:
    """The line under a shell call that says why it was not simply run."""
    reason = clip(str(arguments_of(item).get("reason") or ""), LONGEST)
    text = f"**May this run?** {_line(reason)}".rstrip()
    quiet = f'<span style="opacity: 0.8; font-size: 13px">{to_inline_html(text)}</span>'
    return ShownItem(box(QUIET, quiet), to_safe_markdown(text), text)


def decision_note(decision: Decision, *, standing: bool) -> Bundle:
    """What was decided; `standing`: nobody was asked, because this kind had been allowed before."""
    return note(_decided(decision, standing=standing))


def _decided(decision: Decision, *, standing: bool) -> str:
    if not decision.approve:
        return f"**Denied**: {_line(decision.reason)}" if decision.reason else "**Denied.**"
    if decision.commands is not None:
        return f"**Allowed, changed to** {_commands(decision.commands)}"
    if standing:
        return "**Allowed**, as others of this kind in this notebook."
    return "**Allowed**, and others of this kind in this notebook." if decision.remember else "**Allowed.**"


def _commands(commands: Sequence[str]) -> str:
    return ", ".join(code(clip(" ".join(command.split()), LONGEST)) for command in commands)


def _line(text: str) -> str:
    return " ".join(clip(text, LONGEST).split())
