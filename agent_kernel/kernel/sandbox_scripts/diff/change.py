"""The change of one file, in the words that the kernel shows, and the limits of a comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Optional

from agent_kernel.kernel.sandbox_scripts.diff.tables import is_table, table_change

if TYPE_CHECKING:
    from collections.abc import Callable

Json = Dict[str, Any]

MOST_FILES = 200
"""The most files of one place that are listed."""
MOST_TABLE = 8 << 20
"""The largest table that is compared, in bytes."""
MOST_LINES = 120
MOST_CHARACTERS = 6_000
"""How much of one file's diff is shown."""


class Change:
    """A file that was added, changed or removed.

    `added` and `removed` are lines, None for a file that is not text. `said` is a remark. `diff` is shown.
    """

    def __init__(self, path: str, change: str) -> None:
        self.path = path
        self.change = change
        self.added: Optional[int] = None
        self.removed: Optional[int] = None
        self.said = ""
        self.diff = ""

    def json(self) -> Json:
        """Return it as the kernel reads it."""
        return {
            "path": self.path.encode("utf-8", "replace").decode()[:300],
            "change": self.change,
            "added": self.added,
            "removed": self.removed,
            "said": self.said.encode("utf-8", "replace").decode()[:300],
            "diff": self.diff,
        }


class Area:
    """A place that is compared as one: a repository, or the files outside of repositories.

    `changes` has the first ones of `count`. `notes` are sentences about the comparison. `patch` has the
    changes of text files, and in a repository of the others too.
    """

    def __init__(self, folder: str, kind: str, base: str) -> None:
        self.folder = folder
        self.kind = kind
        self.base = base
        self.changes: List[Change] = []
        self.count = 0
        self.notes: List[str] = []

    def json(self) -> Json:
        """Return it as the kernel reads it."""
        return {
            "folder": self.folder.encode("utf-8", "replace").decode()[:300],
            "kind": self.kind,
            "base": self.base[:200],
            "changes": [change.json() for change in self.changes],
            "count": self.count,
            "notes": [note.encode("utf-8", "replace").decode()[:300] for note in self.notes[:10]],
        }


def shown(patch: bytes) -> str:
    """Return the beginning of a patch as text, from its first hunk."""
    text = patch.decode("utf-8", "replace")
    start = text.find("\n@@ ")
    if start < 0:
        return ""
    lines = text[start + 1 :].split("\n")
    kept = "\n".join(lines[:MOST_LINES])[:MOST_CHARACTERS].rstrip("\n")
    left = len(lines) - len(kept.split("\n")) - (not lines[-1])
    return kept + ("\n[%d more line%s]" % (left, "" if left == 1 else "s") if left > 0 else "") + "\n"


def table_remark(
    path: str, old: Optional[int], new: Optional[int], read: Callable[[bool], Optional[bytes]]
) -> str:
    """Return how a table changed; empty if it is not a table or is too large.

    `old` and `new` are sizes in bytes, None for no file; `read(True)` returns the content from before.
    """
    if not is_table(path) or max(old or 0, new or 0) > MOST_TABLE:
        return ""
    before = read(True) if old is not None else None
    after = read(False) if new is not None else None
    if (old is not None and before is None) or (new is not None and after is None):
        return ""
    return table_change(path, before, after)


def size(count: int) -> str:
    """Return a readable size, in decimal units."""
    if count < 1000:
        return "%d byte%s" % (count, "" if count == 1 else "s")
    value = float(count)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95:
            return "%.1f %s" % (value, unit)
    return "%.1f TB" % (value / 1000)


def sizes(old: Optional[int], new: Optional[int]) -> str:
    """Return the size of a file that is not text, before and after."""
    if old is None or new is None or old == new:
        return size(new if new is not None else old or 0)
    return "%s → %s" % (size(old), size(new))
