"""The cell parser: magics and `!` commands at the top of a cell, and the prompt below them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_MAGIC = re.compile(r"(%{1,2})([A-Za-z_]\w*)(\?|[ \t].*)?", re.DOTALL)


@dataclass(frozen=True)
class MagicLine:
    """`%name arguments`, or `%%name arguments` with the rest of the cell.

    For `%%name`, `name` is `%name`, and `arguments` continues with the cell's second line. `asks` is true for
    `%name?`, which shows the magic's help.
    """

    name: str
    arguments: str
    asks: bool = False


@dataclass(frozen=True)
class ShellLine:
    """`!command`, with lines joined after a trailing backslash. `private` (`!!`) hides it from the model."""

    command: str
    private: bool = False


@dataclass(frozen=True)
class Cell:
    """A parsed cell. `prompt` is empty if the cell has none."""

    lines: tuple[MagicLine | ShellLine, ...]
    prompt: str


def parse(source: str) -> Cell:
    """Parse magics, commands and blank lines at the top of a cell; the rest is the prompt.

    A magic has a letter right after its `%`, so `% of what?` begins a prompt, as does `!` alone. `%%name`
    takes everything below it.
    """
    lines: list[MagicLine | ShellLine] = []
    rest = source.split("\n")
    while rest:
        line = rest[0].strip()
        magic = _MAGIC.fullmatch(line)
        if not line:
            rest.pop(0)
        elif magic and magic[1] == "%%":
            below = "\n".join(rest[1:]).rstrip()
            rest.clear()
            lines.append(_magic(magic, f"\n{below}" if below.strip() else ""))
        elif magic:
            rest.pop(0)
            lines.append(_magic(magic))
        elif line.startswith("!") and line.lstrip("!").strip():
            lines.append(_shell(rest))
        else:
            break
    return Cell(tuple(lines), "\n".join(rest).strip())


def _magic(match: re.Match[str], below: str = "") -> MagicLine:
    more = (match[3] or "").strip()
    return MagicLine(match[1][1:] + match[2], "" if more == "?" else more + below, asks=more == "?")


def _shell(rest: list[str]) -> ShellLine:
    """Pop a command and the lines that continue it after a trailing backslash."""
    first = rest.pop(0).strip()
    private = first.startswith("!!")
    command = first[2 if private else 1 :].strip()
    while command.endswith("\\") and rest:
        command += "\n" + rest.pop(0).rstrip()
    return ShellLine(command, private)
