"""Separate a table of text from what is around it: comments, a directive, bars at line ends. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_BLOCK = re.compile(r"\s*/\*(.*?)\*/\s*(<[^<>\n]*>\s*)?(?=\n)", re.DOTALL)
_LATER_COMMENT = re.compile(r"^[ \t]*#[ \t].*\n", re.MULTILINE)
_BARS = re.compile(r"^[ \t]*\||\|[ \t]*(?=\r?$)", re.MULTILINE)
_BARRED = re.compile(r"[ \t]*\|.*\|[ \t]*")
_SAMPLE_LINES = 50


@dataclass
class Preamble:
    """The text from the table on, and what was above it."""

    text: str
    comments: list[str] = field(default_factory=list)
    """Lines above the table that are marked as comments; the last ones may hold the header."""
    delimiter: str = ""
    """The delimiter that the file names itself."""
    notes: list[str] = field(default_factory=list)


def split_off(text: str) -> Preamble:
    """Return the text of the table without the lines above it that are marked as something else."""
    found = _without_directive(text)
    if block := _BLOCK.match(found.text):
        lines = [*block[1].splitlines(), block[2] or ""]
        found.comments = [line for line in lines if line.strip()]
        found.text = found.text[block.end() :].lstrip("\r\n")
        return found
    _take_comments(found)
    if found.comments:
        found.text, count = _LATER_COMMENT.subn("", found.text)
        if count:
            found.notes.append(f"{count:,} comment {'line' if count == 1 else 'lines'} left out")
    return found


def _without_directive(text: str) -> Preamble:
    """Take off the first line `sep=;` that spreadsheets write."""
    line, _, rest = text.partition("\n")
    line = line.strip().strip('"').lower()
    if line.startswith("sep=") and len(line) == 5 and line[4] in ",;|":
        return Preamble(rest, delimiter=line[4])
    return Preamble(text)


def _take_comments(found: Preamble) -> None:
    """Take off the lines above the table that begin with `#`.

    A first line `#id,name` is a header that happens to begin so, and no comment.
    """
    text = found.text
    lines: list[str] = []
    position = 0
    while text.startswith("#", position) or (lines and text.startswith(("\n", "\r\n"), position)):
        end = text.find("\n", position) + 1
        if not end:
            break
        lines.append(text[position:end])
        position = end
    lines = [line for line in lines if line.strip()]
    if len(lines) == 1 and not lines[0].startswith(("# ", "##")):
        return
    found.comments, found.text = lines, text[position:]


def without_bars(text: str) -> str:
    """Return the text without the bars at both ends of its lines, as in Markdown, if all lines have them."""
    lines = [line for line in text.splitlines()[:_SAMPLE_LINES] if line.strip()]
    if len(lines) > 1 and all(_BARRED.fullmatch(line) for line in lines):
        return _BARS.sub("", text)
    return text


def no_records(text: str) -> str:
    """Return why the lines are no records, if they show it; else nothing."""
    lines = [line.rstrip() for line in text.splitlines()[: 4 * _SAMPLE_LINES] if line.strip()]
    if sum(line.endswith("\\") for line in lines) > 0.3 * len(lines):
        return "its records go over several lines, which end in a backslash"
    barred = [_BARRED.fullmatch(line) is not None for line in lines]
    if any(barred) and "|" not in "".join(lines[len(barred) - barred[::-1].index(True) :]) and not barred[-1]:
        return "bars separate the names of its columns but not the cells below them"
    return ""
