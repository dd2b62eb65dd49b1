"""Render the call of an MCP server's tool, and the list of a server's tools. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent_kernel.kernel.render.bundles import CALL, QUIET, ShownItem, box, details, pre
from agent_kernel.kernel.render.generic import readable
from agent_kernel.kernel.render.mcp.rejected import rejected_call
from agent_kernel.kernel.render.stored import Item
from agent_kernel.kernel.render.text import clean, clip, code, escape, fence, fold
from agent_kernel.protocol.calls import is_rejected

_LONGEST_NAME = 200


def mcp_call(item: Item, limit: int) -> ShownItem:
    """Render a call: which tool of which server, with what, and what came back or why it failed."""
    if is_rejected(item):
        return rejected_call(item, limit)
    failed = item.get("status") not in ("completed", "in_progress", "calling")
    head = f"{_line(item.get('server_label'))}: {_line(item.get('name'))}{' (failed)' if failed else ''}"
    given = _text(item.get("arguments"), limit)
    result = _text(_error(item.get("error")) or item.get("output"), limit)
    folded = fold(result, head=20, tail=5)
    short = f"{folded.head}[... {folded.hidden} ...]\n{folded.tail}" if folded.middle else result
    origin = "From outside:" if result else ""
    html = [f"<b>{escape(head)}</b>", pre(given) if given not in ("", "{}") else "", origin, pre(folded.head)]
    if folded.middle:
        html.append(details(f"… {folded.hidden}", pre(folded.middle)) + pre(folded.tail))
    parts = [each for each in (given if given != "{}" else "", short) if each]
    plain = [each for each in (given if given != "{}" else "", origin, short) if each]
    shown = [fence(each, "text") for each in parts]
    return ShownItem(
        html=box(CALL, "".join(html)),
        markdown="\n\n".join([f"*{code(head)}*{', from outside' if result else ''}", *shown]),
        plain="\n".join([head, *(each.rstrip("\n") for each in plain)]),
    )


def mcp_list_tools(item: Item, limit: int) -> ShownItem:
    """Render a list as one line with the number of tools; their names are folded."""
    label, tools = _line(item.get("server_label")), item.get("tools")
    names = [_line(each.get("name")) for each in tools or () if isinstance(each, Mapping)]
    if item.get("error"):
        line = f"The tools of {label} could not be listed: {_line(_error(item['error']))}"
        return ShownItem(box(QUIET, escape(line)), code(line), line)
    line = f"{label} has {len(names)} tool{'' if len(names) == 1 else 's'}"
    text = clip(", ".join(names), limit)
    return ShownItem(box(QUIET, details(escape(line), pre(text))), f"*{code(line)}*", line)


def _error(error: Any) -> str:
    if not isinstance(error, Mapping):
        return str(error or "")
    return readable(error.get("content") or error.get("message") or "")


def _text(value: Any, limit: int) -> str:
    return clean(clip(readable(value) if value is not None else "", limit))


def _line(value: Any) -> str:
    return " ".join(clean(clip(str(value or ""), _LONGEST_NAME)).split())
