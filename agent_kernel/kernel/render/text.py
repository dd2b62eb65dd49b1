"""Make untrusted text safe to show in HTML, in Markdown and on a terminal. Pure functions."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

_COLOUR = r"\x1b\[[0-9;:]*m"
COLOUR = re.compile(_COLOUR)
"""The sequence that sets colours and weights: the only escape sequence that is ever kept."""

_ESCAPE_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor moves
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC and similar: titles, links, clipboard
    r"|\x1b[\]PX^_][^\n\x07\x1b]*"  # an unterminated one must not hide the lines below it
    r"|\x1b[ -/]*[0-~]"  # the other two- and three-byte sequences
)
# Characters that act on a terminal, reverse the order of letters, or are invisible, in any front end.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_KEPT_OR_UNSEEN = re.compile(f"{_COLOUR}|{_UNSEEN.pattern}")
_MARKS = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_STACKED = re.compile(f"({_MARKS}{{4}}){_MARKS}+")
_OVERWRITTEN = re.compile(r"^[^\n]*\r(?!\n|$)", re.MULTILINE)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """Return text as it would appear on a terminal, without colours.

    Escape sequences are removed, progress bars are reduced to their last state, other control characters and
    invisible characters are spelled out. More than four combining marks on a letter are dropped: they would
    cover other lines.
    """
    return _seen(_ESCAPE_SEQUENCES.sub("", text), _UNSEEN)


def clean_but_colours(text: str) -> str:
    """Return the same text with its colour sequences (`COLOUR`), for `ansi.AnsiToHtml`."""
    return _seen(_ESCAPE_SEQUENCES.sub(_colour_only, text), _KEPT_OR_UNSEEN)


def _seen(text: str, unseen: re.Pattern[str]) -> str:
    text = text.replace("\r\n", "\n")
    if "\r" in text:
        text = _OVERWRITTEN.sub(_colours_of, text).replace("\r", "")
    text = unseen.sub(_spelled, text)
    text = _STACKED.sub(r"\1", text)
    return _LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def _colour_only(match: re.Match[str]) -> str:
    return match[0] if COLOUR.fullmatch(match[0]) else ""


def _colours_of(match: re.Match[str]) -> str:
    """Return the colour sequences of an overwritten part of a line, which still apply after it."""
    return "".join(COLOUR.findall(match[0]))


def _spelled(match: re.Match[str]) -> str:
    if len(match[0]) > 1:
        return match[0]
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def escape(text: str) -> str:
    """Return the text cleaned and escaped for HTML, also safe in attribute values."""
    return html.escape(clean(text), quote=True)


def size(count: int) -> str:
    """Return a readable size: `815 bytes`, `12.3 kB`, `2.1 GB` (decimal units)."""
    if count < 1000:
        return f"{count} byte{'' if count == 1 else 's'}"
    value = float(count)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} TB"


def duration(seconds: float) -> str:
    """Return a readable duration: `4 s`, `2 min 5 s`, `1 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    large, small = divmod(whole, 60) if whole < 3600 else divmod(whole // 60, 60)
    units = ("min", "s") if whole < 3600 else ("h", "min")
    return f"{large:,} {units[0]}" + (f" {small} {units[1]}" if small else "")


def clip(text: str, limit: int) -> str:
    """Cut a text to about `limit` characters: head, a line with the number left out, and tail."""
    if len(text) <= limit:
        return text
    head, tail = text[: limit - limit // 2], text[len(text) - limit // 2 :]
    left_out = len(text) - len(head) - len(tail)
    return f"{head}\n[... {left_out:,} characters left out of the notebook ...]\n{tail}"


@dataclass(frozen=True)
class Folded:
    """A long text in three pieces; `middle` is empty if everything is shown."""

    head: str
    middle: str = ""
    tail: str = ""

    @property
    def hidden(self) -> str:
        """The text that says how much the middle is."""
        lines = self.middle.count("\n")
        return f"{lines:,} more lines" if lines > 1 else f"{len(self.middle):,} more characters"


def fold(text: str, *, head: int, tail: int, line_length: int = 300) -> Folded:
    """Keep `head` lines at the start and `tail` lines at the end; an over-long line counts as several.

    A colour sequence is not cut and counts as one character. If three lines or fewer would be hidden, nothing
    is: the fold itself costs a line.
    """
    pieces = re.findall(rf"(?:{_COLOUR}|[^\n]){{1,{line_length}}}\n?|\n", text)
    if len(pieces) <= head + tail + 3:
        return Folded(text)
    end = len(pieces) - tail
    return Folded("".join(pieces[:head]), "".join(pieces[head:end]), "".join(pieces[end:]))


def fence(text: str, language: str = "") -> str:
    """Return a Markdown code block that no text can end early."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    marks = "`" * (longest + 1)
    body = clean(text)
    return f"{marks}{language}\n{body}{'' if body.endswith(chr(10)) or not body else chr(10)}{marks}"


def code(text: str) -> str:
    """Return a Markdown code span on one line that no text can end early."""
    line = " ".join(clean(text).split("\n"))
    longest = max((len(run) for run in re.findall(r"`+", line)), default=0)
    marks = "`" * (longest + 1)
    pad = " " if line.startswith("`") or line.endswith("`") or not line.strip() else ""
    return f"{marks}{pad}{line}{pad}{marks}"


def markdown_text(text: str) -> str:
    """Return the text cleaned as one line of literal Markdown, also safe in a table cell."""
    line = " ".join(clean(text).split("\n"))
    return re.sub(r"([\\`*_\[\]|<>~$!#&])", r"\\\1", line)
