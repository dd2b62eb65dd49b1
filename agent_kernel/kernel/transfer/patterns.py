"""Patterns of paths as a shell has them: `*` within one name, `**` over folders, no hidden names. Pure."""

from __future__ import annotations

import fnmatch
import glob
from collections.abc import Sequence


def matches(names: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether a path, given by its names, is what the pattern's parts say.

    A name that begins with a dot is matched only by a part that does so as well.
    """
    if not pattern:
        return not names
    if pattern[0] == "**":
        deeper = bool(names) and not names[0].startswith(".") and matches(names[1:], pattern)
        return deeper or matches(names, pattern[1:])
    if not names or (names[0].startswith(".") and not pattern[0].startswith(".")):
        return False
    return fnmatch.fnmatchcase(names[0], pattern[0]) and matches(names[1:], pattern[1:])


def split(parts: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Return the parts before the first wildcard, and those from it on."""
    first = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return parts[:first], parts[first:]
