"""What a cell says: magics and `!` commands at its top, and the prompt below them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_MAGIC = re.compile(r"(%{1,2})([A-Za-z_]\w*)[ \t]*(.*)", re.DOTALL)


@dataclass(frozen=True)
class MagicLine:
    """`%name arguments`; `name` includes a second `%` where there was one."""

    name: str
    arguments: str


@dataclass(frozen=True)
class ShellLine:
    """`!command`, lines joined where they end in a backslash."""

    command: str


@dataclass(frozen=True)
class Cell:
    """A cell, taken apart. `prompt` is empty where there is nothing to ask."""

    lines: tuple[MagicLine | ShellLine, ...]
    prompt: str


def parse(source: str) -> Cell:
    """Take lines from the top as long as they are magics, commands or blank; the rest is the prompt.

    `% of what?` and `!` alone are no such lines: a magic has a letter right after its `%`.
    """
    lines: list[MagicLine | ShellLine] = []
    rest = source.split("\n")
    while rest:
        line = rest[0].strip()
        magic = _MAGIC.fullmatch(line)
        if not line:
            rest.pop(0)
        elif magic:
            lines.append(MagicLine(magic[1][1:] + magic[2], magic[3].strip()))
            rest.pop(0)
        elif line.startswith("!") and line[1:].strip():
            lines.append(ShellLine(_joined(rest)))
        else:
            break
    return Cell(tuple(lines), "\n".join(rest).strip())


def _joined(rest: list[str]) -> str:
    """Pop a command and the lines that its trailing backslashes continue it on."""
    command = rest.pop(0).strip()[1:].strip()
    while command.endswith("\\") and rest:
        command += "\n" + rest.pop(0).rstrip()
    return command
