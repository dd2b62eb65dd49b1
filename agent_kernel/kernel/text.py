"""Text of unknown origin, made fit to be shown: in HTML, in Markdown and on a terminal. Pure functions."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

_ESCAPE_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor moves
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"  # OSC and its like: titles, links, clipboard
    r"|\x1b[ -/]*[0-~]",  # the two- and three-byte rest
    re.DOTALL,
)
# What would act on a terminal, or turn the order of the letters around in any front end.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_OVERWRITTEN = re.compile(r"^[^\n]*\r(?!\n|$)", re.MULTILINE)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """Text as a person would have seen it.

    No escape sequences, progress bars at their last state, every other control character spelled out.
    """
    text = _ESCAPE_SEQUENCES.sub("", text)
    text = text.replace("\r\n", "\n")
    if "\r" in text:
        text = _OVERWRITTEN.sub("", text).replace("\r", "")
    text = _UNSEEN.sub(_spelled, text)
    return _LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def _spelled(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def escape(text: str) -> str:
    """Clean text as HTML character data, safe in attribute values too."""
    return html.escape(clean(text), quote=True)


def size(count: int) -> str:
    """A number of bytes for people: `815 bytes`, `12.3 kB`, `2.1 GB` (decimal units)."""
    if count < 1000:
        return f"{count} byte{'' if count == 1 else 's'}"
    value = float(count)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} TB"


def clip(text: str, limit: int) -> str:
    """At most about `limit` characters: head and tail, and between them how much was left out."""
    if len(text) <= limit:
        return text
    head, tail = text[: limit - limit // 2], text[len(text) - limit // 2 :]
    left_out = len(text) - len(head) - len(tail)
    return f"{head}\n[... {left_out:,} characters left out of the notebook ...]\n{tail}"


@dataclass(frozen=True)
class Folded:
    """A long text in three pieces; `middle` is empty where everything is shown."""

    head: str
    middle: str = ""
    tail: str = ""

    @property
    def hidden(self) -> str:
        """How much the middle is, in words."""
        lines = self.middle.count("\n")
        return f"{lines:,} more lines" if lines > 1 else f"{len(self.middle):,} more characters"


def fold(text: str, *, head: int, tail: int, line_length: int = 300) -> Folded:
    """Keep `head` lines at the start and `tail` at the end; over-long lines count for several.

    Where only three lines or fewer would be hidden, nothing is: the fold costs a line itself.
    """
    pieces = [
        line[start : start + line_length]
        for line in re.findall(r"[^\n]*\n|[^\n]+", text)
        for start in range(0, len(line), line_length)
    ]
    if len(pieces) <= head + tail + 3:
        return Folded(text)
    end = len(pieces) - tail
    return Folded("".join(pieces[:head]), "".join(pieces[head:end]), "".join(pieces[end:]))


def fence(text: str, language: str = "") -> str:
    """A Markdown code block that no text can end early."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    marks = "`" * (longest + 1)
    body = clean(text)
    return f"{marks}{language}\n{body}{'' if body.endswith(chr(10)) or not body else chr(10)}{marks}"


def code(text: str) -> str:
    """A Markdown code span on one line that no text can end early."""
    line = " ".join(clean(text).split("\n"))
    longest = max((len(run) for run in re.findall(r"`+", line)), default=0)
    marks = "`" * (longest + 1)
    pad = " " if line.startswith("`") or line.endswith("`") or not line.strip() else ""
    return f"{marks}{pad}{line}{pad}{marks}"


def markdown_text(text: str) -> str:
    """Clean text as one line of Markdown that means only itself, in a table cell too."""
    line = " ".join(clean(text).split("\n"))
    return re.sub(r"([\\`*_\[\]|<>~$!#&])", r"\\\1", line)
