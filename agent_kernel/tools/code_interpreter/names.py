"""The names of variables that are gone: with an ended session, or with the container of earlier calls."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent_kernel.errors import SandboxFileError
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.launch import STATE

NAMES_FILE = f"{STATE}/{{}}-names"
"""The file in the sandbox where the session of a language keeps the names of its variables."""

MOST_NAMED = 30
"""Names that a message lists; the others are counted."""

_MOST_BYTES = 64 << 10
_NAME = re.compile(r"[^\W\d][\w.]{0,99}")
_SET = re.compile(
    r"^(?:(?:async[ ])?def[ ]|class[ ])(\w{1,100})"
    r"|^([^\W\d][\w.]{0,99})(?:[ ]?:[^=\n]{1,100})?[ ]*(?:=(?!=)|<-)",
    re.MULTILINE,
)


async def last_names(channel: Channel, language: str) -> str:
    """Return the variables of the last session in the container, as a message lists them; empty if none."""
    return listed(*await _read(channel, language))


async def living_names(channel: Channel, language: str) -> list[str]:
    """Return the names of the variables in the session of a language; none if no session runs."""
    async with channel.running_program(language) as program:
        if program == "absent":
            return []
    names, _ = await _read(channel, language)
    return [name for name in names if isinstance(name, str) and _NAME.fullmatch(name)]


async def _read(channel: Channel, language: str) -> tuple[Sequence[object], int]:
    """Return the names in the file, and how many it left out.

    What the file says is a claim of the sandbox: bounded and checked.
    """
    content = bytearray()
    try:
        async for piece in channel.get(NAMES_FILE.format(language)):
            content += piece
            if len(content) > _MOST_BYTES:
                return (), 0
        found: Any = json.loads(content)
    except (SandboxFileError, ValueError, RecursionError):
        return (), 0
    if not isinstance(found, Mapping) or not isinstance(found.get("names"), list):
        return (), 0
    more = found.get("more")
    return found["names"], more if type(more) is int and more > 0 else 0


async def forget_names(channel: Channel, language: str) -> None:
    """Remove the file. One that cannot be removed stays."""
    with contextlib.suppress(SandboxFileError):
        await channel.remove(NAMES_FILE.format(language))


def listed(names: Iterable[object], more: int = 0) -> str:
    """Return names for a message: `a, b and 3 more`. What is no name is left out."""
    known = [name for name in names if isinstance(name, str) and _NAME.fullmatch(name)]
    shown = ", ".join(known[:MOST_NAMED])
    more += len(known[MOST_NAMED:])
    return f"{shown} and {more} more" if shown and more else shown


def names_in(codes: Sequence[str]) -> str:
    """Return the names that code sets at the beginning of its lines, as a message lists them.

    They are read by their looks, for a container that is gone with its session.
    """
    found = (match[1] or match[2] for code in codes for match in _SET.finditer(code))
    return listed(dict.fromkeys(name for name in found if not name.startswith("_")))
