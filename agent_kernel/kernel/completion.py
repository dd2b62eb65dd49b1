"""Completion, help and completeness of cells: Tab, Shift-Tab and Enter. Pure but for listing files."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Literal

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.cells import MagicLine, parse
from agent_kernel.kernel.magics import MAGICS, Magic, find

MAX_MATCHES = 200


def complete(source: str, cursor: int, models: Sequence[str] = ()) -> tuple[list[str], int, int]:
    """Matches for what stands before the cursor, and the range of characters that they replace."""
    line_start = source.rfind("\n", 0, cursor) + 1
    line = source[line_start:cursor]
    indent = len(line) - len(line.lstrip())
    name = re.fullmatch(r"%\w*", line.lstrip())
    if name:
        matches = [f"%{each}" for each in MAGICS if f"%{each}".startswith(name[0])]
        return matches, line_start + indent, cursor
    argument = re.fullmatch(r"%(\w+)[ \t]+(?:.*[ \t])?(\S*)", line.lstrip())
    if argument:
        start = cursor - len(argument[2])
        if argument[1] == "upload":
            return _file_matches(argument[2]), start, cursor
        if argument[1] == "model":
            return [each for each in models if each.startswith(argument[2])], start, cursor
        if argument[1] == "help":
            return [each for each in MAGICS if each.startswith(argument[2])], start, cursor
    return [], cursor, cursor


def _file_matches(prefix: str) -> list[str]:
    start = prefix.rpartition("/")[2]
    shown = prefix[: len(prefix) - len(start)]
    try:
        with os.scandir(os.path.expanduser(shown) or ".") as entries:
            names = [(entry.name, entry.is_dir()) for entry in entries]
    except OSError:
        return []
    matches = [
        shown + name.replace(" ", "\\ ") + ("/" if is_folder else "")
        for name, is_folder in sorted(names)
        if name.startswith(start) and (start.startswith(".") or not name.startswith("."))
    ]
    return matches[:MAX_MATCHES]


def magic_at(source: str, cursor: int) -> Magic | None:
    """The magic on whose line the cursor stands."""
    line_start = source.rfind("\n", 0, cursor) + 1
    match = re.match(r"[ \t]*%(\w+)", source[line_start:].partition("\n")[0])
    return MAGICS.get(match[1]) if match else None


def completeness(source: str) -> Literal["complete", "incomplete", "invalid"]:
    """Whether a console should send this: not while a line is continued, nor with an unknown magic."""
    if source.endswith("\\"):
        return "incomplete"
    try:
        for line in parse(source).lines:
            if isinstance(line, MagicLine):
                find(line.name)
    except InvalidRequest:
        return "invalid"
    return "complete"
