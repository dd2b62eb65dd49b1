"""Render approval requests as stored in a notebook. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agent_kernel.kernel.render.bundles import QUIET, ShownItem, box
from agent_kernel.kernel.render.markdown import to_inline_html, to_safe_markdown
from agent_kernel.kernel.render.text import clip, code

_BY_PERSON = "denied by the person who was asked"
"""What the runtime tells the model of a denial; the reader knows who it was."""

LONGEST = 2000
"""The longest reason or command on one line, in characters."""


def arguments_of(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the arguments of an `mcp_approval_request`; empty if they cannot be read."""
    try:
        found = json.loads(str(item.get("arguments")))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def in_words(pattern: str) -> str:
    """Return a pattern of commands as a reader sees it, in Markdown: `rm *` as `rm …`."""
    return code(f"{pattern[:-2]} …" if pattern.endswith(" *") else pattern)


def kind_in_words(patterns: Sequence[str]) -> str:
    """Return what these patterns of commands allow, in Markdown: "any `rm …` or `touch …` command"."""
    return f"any {' or '.join(map(in_words, patterns))} command" if patterns else ""


def approval_request(item: Mapping[str, Any], _limit: int = 0) -> ShownItem:
    """Render an approval request: the reason why the call above it needs approval."""
    asked = arguments_of(item)
    reason = clip(str(asked.get("reason") or ""), LONGEST)
    if item.get("name") == "network":
        return _quiet(_connection(asked))
    if item.get("name") == "elicitation":
        return _quiet(_of_server(asked))
    if item.get("server_label") not in (None, "agent_kernel"):
        return _quiet(_of_call(item))
    word = "Should the computer do this?" if item.get("name") == "computer" else "May this run?"
    return _quiet(f"**{word}** {one_line(reason)}".rstrip())


def approval_response(item: Mapping[str, Any], _limit: int = 0) -> ShownItem:
    """Render the answer to a question that a running turn asked."""
    ours = item.get("agent_kernel")
    scope = ours.get("scope") if isinstance(ours, Mapping) else None
    if isinstance(ours, Mapping) and ours.get("question") == "elicitation":
        return _quiet("**Answered.**" if item.get("approve") is True else "**Not answered.**")
    if item.get("approve") is True:
        return _quiet("**Allowed**, for this notebook." if scope == "container" else "**Allowed**, once.")
    reason = one_line(str(item.get("reason") or "")).removeprefix(_BY_PERSON).removeprefix(": ")
    return _quiet(f"**Denied**: {reason}" if reason else "**Denied.**")


def _connection(asked: Mapping[str, Any]) -> str:
    program = code(one_line(str(asked["program"]))) if asked.get("program") else "a program"
    destination = one_line(f"{asked.get('host')}:{asked.get('port')}")
    return f"**May it connect?** {program} to {code(destination)}"


def _of_server(asked: Mapping[str, Any]) -> str:
    said = one_line(str(asked.get("message") or ""))
    page = f" It is about the page {code(one_line(str(asked['url'])))}." if asked.get("url") else ""
    return f"**The MCP server** {code(one_line(str(asked.get('server_label'))))} **asks:** {code(said)}{page}"


def _of_call(item: Mapping[str, Any]) -> str:
    name = code(one_line(f"{item.get('server_label')}: {item.get('name')}"))
    return f"**May this tool be called?** {name} {code(one_line(str(item.get('arguments') or '')))}"


def _quiet(text: str) -> ShownItem:
    quiet = f'<span style="opacity: 0.8; font-size: 13px">{to_inline_html(text)}</span>'
    return ShownItem(box(QUIET, quiet), to_safe_markdown(text), text)


def one_line(text: str) -> str:
    """Return the text on one line, cut to `LONGEST` characters."""
    return " ".join(clip(text, LONGEST).split())
