"""Path patterns as in a shell: `*` within one name, `**` across folders, no hidden names. Pure."""

from __future__ import annotations

import fnmatch
import glob
from collections.abc import Sequence


def matches(names: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether a path, given by its names, matches the pattern's parts.

    A name that begins with a dot is matched only by a part that begins with a dot.
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
    """Split a pattern at its first wildcard; return the parts before it and the rest."""
    first = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return parts[:first], parts[first:]
