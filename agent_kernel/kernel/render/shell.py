"""Render shell calls and their outputs. Pure.

A long output shows its head and tail. The rest is folded, and one line gives the size of the folded part, the
size of the part that was not kept, and the path of the log in the container. HTML has the output's colours;
Markdown and plain text have none, even in a terminal: a notebook's text must be the same wherever it runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agent_kernel.kernel.render.ansi import AnsiToHtml
from agent_kernel.kernel.render.bundles import (
    CALL,
    ERRORS,
    OUTPUT,
    SUMMARY,
    ShownItem,
    box,
    details,
    pre_html,
    printed_html,
)
from agent_kernel.kernel.render.endings import stopped
from agent_kernel.kernel.render.highlight.commands import coloured_command
from agent_kernel.kernel.render.text import (
    Folded,
    clean,
    clean_but_colours,
    clip,
    escape,
    fence,
    fold,
)

_BADGE = (
    "display: inline-block; margin: 2px 0; padding: 0 6px; border: 1px solid rgba(219, 68, 55, 0.8); "
    "border-radius: 8px; font-size: 11px"
)
_LEFT_OUT = re.compile(r"\n\[\.\.\. (\d+) characters left out(?:; the log is (\S+))? \.\.\.\]\n")
"""The line that the shell tool puts between head and tail of an output over its limit."""


def shell_call(item: Mapping[str, Any], limit: int) -> ShownItem | None:
    """Render the commands of a call, each cut to `limit` characters; None if there are none."""
    action = item.get("action") or {}
    commands = [clip(str(command), limit) for command in action.get("commands") or []]
    if not commands:
        return None
    return ShownItem(
        html=box(CALL, "".join(_command_html(command) for command in commands)),
        markdown=fence("\n".join(_prompted(command) for command in commands), "console"),
        plain="\n".join(_prompted(clean(command)) for command in commands),
    )


def _prompted(command: str) -> str:
    """Return the command as typed in a terminal: `$ ` before the first line, `> ` before the others."""
    return "$ " + command.rstrip("\n").replace("\n", "\n> ")


def _command_html(command: str) -> str:
    folded = fold(coloured_command(clean(command).rstrip("\n")), head=8, tail=0)
    painter = AnsiToHtml()
    head = pre_html(f'<span style="opacity: 0.5">$ </span>{painter.html(folded.head)}')
    middle = folded.middle
    return head + details(f"… {folded.hidden}", pre_html(painter.html(middle))) if middle else head


def shell_output(item: Mapping[str, Any], limit: int) -> ShownItem | None:
    """Render the outputs of a call's commands, each stream cut to `limit` characters; None if none."""
    cut = item.get("status") == "incomplete"
    parts = [_command_output(part, limit, cut=cut) for part in item.get("output") or []]
    if not parts:
        return None
    line = '<div style="margin: 4px 0; border-top: 1px solid rgba(128, 128, 128, 0.25)"></div>'
    return ShownItem(
        html=box(OUTPUT, line.join(part.html for part in parts)),
        markdown="\n\n".join(part.markdown for part in parts),
        plain="\n".join(part.plain.rstrip("\n") for part in parts),
    )


def shell_texts(item: Mapping[str, Any], limit: int) -> Iterator[str]:
    """Yield the text of each stream that `shell_output` shows, without colours."""
    for part in item.get("output") or []:
        for name in ("stdout", "stderr"):
            if text := str(part.get(name) or ""):
                yield _Printed.of(text, limit).whole()


def _command_output(part: Mapping[str, Any], limit: int, *, cut: bool) -> ShownItem:
    texts = {name: str(part.get(name) or "") for name in ("stdout", "stderr")}
    outcome = _outcome(part.get("outcome"))
    if cut and (found := stopped(texts["stderr"], _exit_code(part.get("outcome")))) is not None:
        texts["stderr"], outcome = found
    pieces = [stream(name, text, limit) for name, text in texts.items() if text.strip("\n")]
    if outcome:
        badge = f'<span style="{_BADGE}">{escape(outcome)}</span>'
        pieces.append(ShownItem(badge, f"**{outcome}**", f"[{outcome}]"))
    if not pieces:
        pieces = [ShownItem(f'<span style="{SUMMARY}">no output</span>', "*no output*", "[no output]")]
    return ShownItem(
        html="".join(piece.html for piece in pieces),
        markdown="\n\n".join(piece.markdown for piece in pieces),
        plain="\n".join(piece.plain.rstrip("\n") for piece in pieces),
    )


def _outcome(outcome: Any) -> str:
    """Return how a command ended (`exit 1`, `timed out`); empty for success."""
    if not isinstance(outcome, Mapping):
        return "not finished"
    if outcome.get("type") == "timeout":
        return "timed out"
    exit_code = _exit_code(outcome)
    return f"exit {exit_code}" if exit_code else ""


def _exit_code(outcome: Any) -> Any:
    return outcome.get("exit_code") if isinstance(outcome, Mapping) else None


def stream(name: str, text: str, limit: int) -> ShownItem:
    """Return what a program wrote to its `stdout` or `stderr`, cut to `limit` characters."""
    printed = _Printed.of(text, limit)
    if name == "stdout":
        return ShownItem(printed.html(), fence(printed.plain(), "text"), printed.plain())
    return ShownItem(
        html=box(ERRORS, printed.html()),
        markdown=f"*stderr*\n\n{fence(printed.plain(), 'text')}",
        plain=f"[stderr]\n{printed.plain()}",
    )


@dataclass(frozen=True)
class _Printed:
    """The part of one stream of a command that a notebook keeps, with its colours."""

    folded: Folded
    left_out: int = 0
    """The number of characters neither shown nor folded."""
    log: str | None = None
    """The file in the container with the whole output."""

    @classmethod
    def of(cls, text: str, limit: int) -> _Printed:
        found = _LEFT_OUT.search(text, max(0, len(text) // 2 - 200))
        if found is None and len(text) <= limit:
            return cls(fold(clean_but_colours(text), head=25, tail=10))
        head, tail = (text[: found.start()], text[found.end() :]) if found else (text, text)
        head, tail = head[: limit - limit // 2], tail[max(0, len(tail) - limit // 2) :]
        left_out = len(text) - len(head) - len(tail)
        if found:
            left_out += int(found[1]) - len(found[0])
        gap = f"\n[... {left_out:,} characters left out ...]\n"
        kept = clean_but_colours(head) + gap + clean_but_colours(tail)
        return cls(fold(kept, head=25, tail=10), left_out, found[2] if found else None)

    @property
    def missing(self) -> str:
        """The text that says how much is folded and how much was left out."""
        words = [self.folded.hidden]
        if self.left_out:
            words.append(f"{self.left_out:,} characters left out")
        if self.log:
            words.append(f"the log is {clean(self.log)}")
        return "; ".join(words)

    def whole(self) -> str:
        """Return all of it, without colours."""
        return clean(self.folded.head + self.folded.middle + self.folded.tail)

    def html(self) -> str:
        painter = AnsiToHtml()
        head = printed_html(painter.html(self.folded.head))
        if not self.folded.middle:
            return head
        middle = details(f"… {escape(self.missing)}", printed_html(painter.html(self.folded.middle)))
        return head + middle + (printed_html(painter.html(self.folded.tail)) if self.folded.tail else "")

    def plain(self) -> str:
        head = clean(self.folded.head)
        if not self.folded.middle:
            return head
        end = "" if head.endswith("\n") else "\n"
        return f"{head}{end}[... {self.missing} ...]\n{clean(self.folded.tail)}"
