"""Colour shell commands, and the Python in their here-documents and behind `-c`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agent_kernel.kernel.render.highlight.source import LONGEST, Language, coloured

Piece = tuple[str, Language | None]
"""A text and its language; None for the quotes around a program."""

_PYTHON = r"\bpython[0-9.]*"
_HERE = re.compile(rf"{_PYTHON}\b[^<\n]*<<-?[ \t]*(['\"]?)([A-Za-z_][\w ]*)\1")
"""A line whose here-document is a program in Python; the second group is its last line."""
_QUOTED = r"""'[^']*'|"(?:[^"\\]|\\.)*\""""
_BEHIND_C = re.compile(rf"{_PYTHON}(?:[ \t]+-[A-Za-z]+){{0,5}}?[ \t]+-c[ \t]+({_QUOTED})", re.DOTALL)


def coloured_command(command: str) -> str:
    """Return a command that was cleaned with its colours; taken out again, the command is what it was."""
    pieces = _pieces(command[:LONGEST])
    found = [text if language is None else coloured(text, language) for text, language in pieces]
    return "".join(found) + command[LONGEST:]


def _pieces(command: str) -> Iterator[Piece]:
    """Yield the texts of a command, each with its language; joined they are the command."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", command)
    shell = ""
    at = 0
    while at < len(lines):
        opened = _HERE.search(lines[at])
        shell += lines[at]
        at += 1
        if opened is None:
            continue
        end = next((n for n in range(at, len(lines)) if lines[n].strip() == opened[2].strip()), len(lines))
        yield from _of_shell(shell)
        shell = ""
        if program := "".join(lines[at:end]):
            yield program, "python"
        at = end
    yield from _of_shell(shell)


def _of_shell(text: str) -> Iterator[Piece]:
    """Yield a text of the shell in pieces: the programs behind `-c` are in Python."""
    start = 0
    for match in _BEHIND_C.finditer(text):
        yield text[start : match.start(1)], "bash"
        yield match[1][0], None
        yield match[1][1:-1], "python"
        yield match[1][0], None
        start = match.end(1)
    if text[start:]:
        yield text[start:], "bash"
