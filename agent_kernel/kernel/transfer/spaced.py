"""Unquoted names with spaces behind an `@` that are not files: `@Sales Report 2025.csv`.

The user may have meant a file, or may address a person and name a file later in the sentence.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection
from pathlib import Path

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.transfer.host_files import expanded

WORDS = 6
"""The number of words that a name with spaces may have."""

_WORD = r"[^\s@\"'`()\[\]{}<>$=|;&*?]+"


def missing_name(line: str, types: Collection[str]) -> str | None:
    """Return the name with spaces that a line begins with, up to the first known file type; None without one.

    A line whose last word alone names a file means that file: `@ann look at sales.csv`.
    """
    for words in range(1, WORDS):
        found = re.match(rf"(?:{_WORD}(?<![,;:!]) ){{{words}}}{_WORD}?\.(\w+)(?=[\s.,:!]|$)", line)
        if found is None or found[1].lower() not in types:
            continue
        _, *later = found[0].split(" ")
        if any(os.path.lexists(expanded(" ".join(later[n:]))) for n in range(len(later))):
            return None
        return found[0]
    return None


def check_near(name: str) -> None:
    """Raise `InvalidRequest` if files with similar names exist; the hint shows how to mention them."""
    path = expanded(name)
    try:
        names = {each.casefold(): each for each in os.listdir(path.parent)}
    except OSError:
        return
    near = difflib.get_close_matches(path.name.casefold(), names, n=3, cutoff=0.7)
    if near:
        meant = " or ".join(quoted(path.parent / names[each]) for each in near)
        raise InvalidRequest(
            f"@{name}: There is no file {name}.",
            hint=f"Did you mean {meant}? If no file is meant, write \\@{name.partition(' ')[0]}.",
        )


def quoted(path: Path) -> str:
    """Return the mention of a path, in quotes."""
    mark = "'" if "'" not in path.name else '"'
    return f"@{mark}{path}{mark}"


def not_uploaded(name: str) -> str:
    """Return the notice for a name that is near no file."""
    return (
        f"There is no file {name} in {Path.cwd()}, so nothing was uploaded for it."
        f" To mention a name with spaces, put it in quotes: {quoted(Path(name))}."
    )
