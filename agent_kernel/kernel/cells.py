"""What a cell says: magics and `!` commands at its top, and the prompt below them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_MAGIC = re.compile(r"(%{1,2})([A-Za-z_]\w*)(\?|[ \t].*)?", re.DOTALL)


@dataclass(frozen=True)
class MagicLine:
    """`%name arguments`, or `%%name arguments` with the rest of the cell.

    `name` includes a second `%`; `arguments` has such a cell's rest from its second line on. `asks` is true
    for `%name?`, which only wants to know what the magic is.
    """

    name: str
    arguments: str
    asks: bool = False


@dataclass(frozen=True)
class ShellLine:
    """`!command`, lines joined where they end in a backslash. `private` (`!!`): the model is not told."""

    command: str
    private: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell, taken apart. `prompt` is empty where there is nothing to ask."""

    lines: tuple[MagicLine | ShellLine, ...]
    prompt: str


def parse(source: str) -> Cell:
    """Take lines from the top as long as they are magics, commands or blank; the rest is the prompt.

    `% of what?` and `!` alone are no such lines: a magic has a letter right after its `%`. `%%name` takes all
    that stands below it.
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
    """Pop a command and the lines that its trailing backslashes continue it on."""
    first = rest.pop(0).strip()
    private = first.startswith("!!")
    command = first[2 if private else 1 :].strip()
    while command.endswith("\\") and rest:
        command += "\n" + rest.pop(0).rstrip()
    return ShellLine(command, private)
