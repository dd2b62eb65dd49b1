"""Output items as mime bundles: pure functions from an item's JSON to what a notebook stores.

Every bundle has `text/html`, `text/markdown` and `text/plain`, each readable alone, and the item itself as
`application/vnd.agent-kernel.item+json`. What differs from run to run (ids, container, times) stands in the
output's metadata only, so that two runs that did the same thing compare equal.

The HTML keeps to what JupyterLab's sanitiser lets through, and takes its colours from the page.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent_kernel.kernel.markdown import to_html, to_inline_html, to_safe_markdown
from agent_kernel.kernel.text import Folded, clean, clip, code, escape, fence, fold

ITEM_MIME = "application/vnd.agent-kernel.item+json"
METADATA_KEY = "agent_kernel"

MAX_STORED = 100_000
"""Characters of one text that a notebook keeps; the runtime's store has all of it."""

Item = Mapping[str, Any]
"""An output item as JSON, as in `openai.types.responses.ResponseOutputItem`."""


@dataclass(frozen=True)
class Bundle:
    """The content of one `display_data`: representations by mime type, and metadata."""

    data: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Shown:
    """One thing in the three languages of a notebook's readers."""

    html: str
    markdown: str
    plain: str

    def bundle(self, **more: Any) -> Bundle:
        """As a bundle; `more` goes to the metadata under our key."""
        data = {"text/html": self.html, "text/markdown": self.markdown, "text/plain": self.plain}
        return Bundle(data, {METADATA_KEY: more} if more else {})


def render_item(item: Item) -> Bundle | None:
    """The bundle of one item; None for an item that has nothing to show (reasoning without a summary)."""
    shown = _RENDERERS.get(str(item.get("type")), _unknown)(item)
    if shown is None:
        return None
    bundle = shown.bundle(**_particulars(item))
    bundle.data[ITEM_MIME] = public(item)
    return bundle


# --- the item itself, without what differs from run to run -------------------------------------------

_PARTICULAR = {"id", "call_id", "container_id", "created_by", "caller", "encrypted_content"}
_LEFT_OUT = {"annotations", "logprobs", "environment"}


def public(value: Any) -> Any:
    """The item's JSON without ids, nulls and opaque fields; long texts are clipped."""
    if isinstance(value, Mapping):
        return {
            key: public(inner)
            for key, inner in value.items()
            if key not in _PARTICULAR and key not in _LEFT_OUT and inner is not None
        }
    if isinstance(value, (list, tuple)):
        return [public(inner) for inner in value]
    if isinstance(value, str):  # half a character from a model or a file must not break the message
        return clip(value, MAX_STORED).encode("utf-8", "replace").decode("utf-8")
    return value


def _particulars(item: Item) -> dict[str, Any]:
    found = {key: item[key] for key in ("id", "call_id") if item.get(key)}
    environment = item.get("environment")
    if isinstance(environment, Mapping) and environment.get("container_id"):
        found["container_id"] = environment["container_id"]
    return found


# --- pieces of HTML ------------------------------------------------------------------------------------

MONO = "font-family: monospace; font-size: 12px; line-height: 1.45; white-space: pre-wrap"
_PRE = f"margin: 0; padding: 0; border: none; background-color: transparent; color: inherit; {MONO}"
_BAR = "margin: 2px 0; padding: 4px 10px; border-left: 3px solid "
_CALL = f"{_BAR}rgba(66, 133, 244, 0.7); background-color: rgba(128, 128, 128, 0.1)"
_OUTPUT = f"{_BAR}rgba(128, 128, 128, 0.35)"
_ALERT = f"{_BAR}rgba(219, 68, 55, 0.8)"
_QUIET = f"{_BAR}transparent"
_NOTICE = f"{_BAR}rgba(244, 160, 0, 0.9); background-color: rgba(244, 160, 0, 0.1)"
_SUMMARY = "cursor: pointer; opacity: 0.65; font-size: 12px"
_BADGE = (
    "display: inline-block; margin: 2px 0; padding: 0 6px; border: 1px solid rgba(219, 68, 55, 0.8); "
    "border-radius: 8px; font-size: 11px"
)


def pre(text: str) -> str:
    """Preformatted text, escaped."""
    return f'<pre style="{_PRE}">{escape(text)}</pre>'


def details(summary_html: str, body_html: str) -> str:
    """A folded block; both arguments are HTML."""
    return f'<details><summary style="{_SUMMARY}">{summary_html}</summary>{body_html}</details>'


def box(style: str, body_html: str) -> str:
    """A block with a bar at its left."""
    return f'<div style="{style}">{body_html}</div>'


def _folded_pre(folded: Folded) -> str:
    if not folded.middle:
        return pre(folded.head)
    middle = details(f"… {folded.hidden}", pre(folded.middle))
    return pre(folded.head) + middle + (pre(folded.tail) if folded.tail else "")


def _folded_plain(folded: Folded) -> str:
    if not folded.middle:
        return clean(folded.head)
    head = clean(folded.head)
    return f"{head}{'' if head.endswith(chr(10)) else chr(10)}[... {folded.hidden} ...]\n{clean(folded.tail)}"


# --- items ---------------------------------------------------------------------------------------------


def _message(item: Item) -> Shown | None:
    texts = [_part_text(part) for part in item.get("content") or []]
    text = clip("\n\n".join(text for text in texts if text), MAX_STORED)
    if not text.strip():
        return None
    return Shown(f'<div style="margin-top: 6px">{to_html(text)}</div>', to_safe_markdown(text), clean(text))


def _part_text(part: Mapping[str, Any]) -> str:
    if part.get("type") == "refusal":
        return f"The model declined: {part.get('refusal') or ''}"
    return str(part.get("text") or "")


def _reasoning(item: Item) -> Shown | None:
    parts = [*(item.get("summary") or []), *(item.get("content") or [])]
    text = clip("\n\n".join(str(part.get("text") or "") for part in parts), MAX_STORED)
    if not text.strip():
        return None
    quoted = "\n".join(f"> {line}".rstrip() for line in to_safe_markdown(text).split("\n"))
    body = f'<div style="opacity: 0.75; font-size: 13px">{to_html(text)}</div>'
    return Shown(
        html=box(_QUIET, details("Reasoning", body)),
        markdown=f"> *Reasoning*\n>\n{quoted}",
        plain=f"Reasoning:\n{clean(text)}",
    )


def _shell_call(item: Item) -> Shown | None:
    action = item.get("action") or {}
    commands = [clip(str(command), MAX_STORED) for command in action.get("commands") or []]
    if not commands:
        return None
    return Shown(
        html=box(_CALL, "".join(_command_html(command) for command in commands)),
        markdown=fence("\n".join(_prompted(command) for command in commands), "console"),
        plain="\n".join(_prompted(clean(command)) for command in commands),
    )


def _prompted(command: str) -> str:
    """The command as one would see it typed: `$ ` before the first line, `> ` before the others."""
    return "$ " + command.rstrip("\n").replace("\n", "\n> ")


def _command_html(command: str) -> str:
    command = command.rstrip("\n")
    prompt = '<span style="opacity: 0.5">$ </span>'
    folded = fold(command, head=8, tail=0)
    if not folded.middle:
        return f'<pre style="{_PRE}">{prompt}{escape(command)}</pre>'
    head = f'<pre style="{_PRE}">{prompt}{escape(folded.head)}</pre>'
    return head + details(f"… {folded.hidden}", pre(folded.middle))


def _shell_output(item: Item) -> Shown | None:
    parts = [_command_output(part) for part in item.get("output") or []]
    if not parts:
        return None
    line = '<div style="margin: 4px 0; border-top: 1px solid rgba(128, 128, 128, 0.25)"></div>'
    return Shown(
        html=box(_OUTPUT, line.join(part.html for part in parts)),
        markdown="\n\n".join(part.markdown for part in parts),
        plain="\n".join(part.plain.rstrip("\n") for part in parts),
    )


def _command_output(part: Mapping[str, Any]) -> Shown:
    streams = [
        (name, clip(str(part.get(name) or ""), MAX_STORED))
        for name in ("stdout", "stderr")
        if str(part.get(name) or "").strip("\n")
    ]
    outcome = _outcome(part.get("outcome"))
    pieces = [_stream(name, text) for name, text in streams]
    if outcome:
        pieces.append(
            Shown(f'<span style="{_BADGE}">{escape(outcome)}</span>', f"**{outcome}**", f"[{outcome}]")
        )
    if not pieces:
        pieces = [Shown(f'<span style="{_SUMMARY}">no output</span>', "*no output*", "[no output]")]
    return Shown(
        html="".join(piece.html for piece in pieces),
        markdown="\n\n".join(piece.markdown for piece in pieces),
        plain="\n".join(piece.plain.rstrip("\n") for piece in pieces),
    )


def _stream(name: str, text: str) -> Shown:
    folded = fold(text, head=25, tail=10)
    plain = _folded_plain(folded)
    if name == "stdout":
        return Shown(_folded_pre(folded), fence(plain, "text"), plain)
    bar = "border-left: 2px solid rgba(219, 68, 55, 0.5); padding-left: 8px; margin: 2px 0"
    return Shown(
        html=f'<div style="{bar}">{_folded_pre(folded)}</div>',
        markdown=f"*stderr*\n\n{fence(plain, 'text')}",
        plain=f"[stderr]\n{plain}",
    )


def _outcome(outcome: Any) -> str:
    """What to say of how a command ended; nothing for success."""
    if not isinstance(outcome, Mapping):
        return "not finished"
    if outcome.get("type") == "timeout":
        return "timed out"
    exit_code = outcome.get("exit_code")
    return f"exit {exit_code}" if exit_code else ""


def _unknown(item: Item) -> Shown | None:
    """An item of a kind that is not ours to explain: its name, and its JSON folded away."""
    name = str(item.get("type") or "item")
    text = clip(json.dumps(public(item), indent=1, ensure_ascii=False, default=str), MAX_STORED)
    return Shown(
        html=box(_QUIET, details(escape(name), pre(text))),
        markdown=f"*{code(name)}*\n\n{fence(_folded_plain(fold(text, head=20, tail=5)), 'json')}",
        plain=f"{clean(name)}\n{_folded_plain(fold(text, head=20, tail=5))}",
    )


_RENDERERS: dict[str, Callable[[Item], Shown | None]] = {
    "message": _message,
    "reasoning": _reasoning,
    "shell_call": _shell_call,
    "shell_call_output": _shell_output,
}


# --- what the kernel itself has to say -------------------------------------------------------------------


def note(text: str) -> Bundle:
    """A quiet line of the kernel's own. `text` is plain; `code` is marked with backticks."""
    quiet = f'<span style="opacity: 0.75; font-size: 13px">{to_inline_html(text)}</span>'
    return Shown(box(_QUIET, quiet), to_safe_markdown(text), text).bundle()


def notice(text: str) -> Bundle:
    """A paragraph that must be seen."""
    quoted = "\n".join(f"> {line}".rstrip() for line in to_safe_markdown(text).split("\n"))
    return Shown(box(_NOTICE, to_html(text)), quoted, text).bundle()


def table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> Shown:
    """A small table; every cell is text of unknown origin. `caption` is Markdown of the kernel's own."""
    from agent_kernel.kernel.tables import html_table, markdown_table, plain_table

    top = f"{caption}\n\n" if caption else ""
    return Shown(
        html=(f'<div style="margin: 4px 0">{to_inline_html(caption)}</div>' if caption else "")
        + html_table(header, rows),
        markdown=top + markdown_table(header, rows),
        plain=(f"{caption}\n" if caption else "") + plain_table(header, rows),
    )
