"""Compare a repository of the workspace with a commit."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, List, Optional, Tuple

from agent_kernel.kernel.sandbox_scripts.diff.change import (
    MOST_FILES,
    Area,
    Change,
    shown,
    size,
    sizes,
    table_remark,
)
from agent_kernel.kernel.sandbox_scripts.diff.git import NotCompared, Tree

if TYPE_CHECKING:
    from typing import Dict

SHOWN_FILES = 40
"""The most files whose diff is shown."""

_WORDS = {"A": "added", "D": "removed"}


def repository(root: str, name: str, folder: str, since: Optional[str]) -> Tuple[Area, bytes]:
    """Return the changes in the repository `name` below `root`, and their patch.

    Only those in its folder `folder`, if that is not empty. Raises `NotCompared`.
    """
    with tempfile.TemporaryDirectory() as scratch:
        tree = Tree(os.path.join(root, name), scratch)
        tree.read()
        base = tree.base(since)
        title = tree.title(base)
        label = since or "HEAD"
        area = Area(name, "repository", "%s, %s" % (label, title) if title else "no commit yet")
        letters = tree.changes(base, folder)
        _describe(area, tree, base, letters, folder)
        _remark(area, tree, since)
        return area, tree.patch(base, *([folder] if folder else [])) if letters else b""


def _describe(area: Area, tree: Tree, base: str, letters: Dict[str, str], folder: str) -> None:
    area.count = len(letters)
    counts = tree.counts(base, folder)
    for number, (path, letter) in enumerate(sorted(letters.items())[:MOST_FILES]):
        change = Change(path, _WORDS.get(letter, "changed"))
        change.added, change.removed = counts.get(path, (None, None))
        if number < SHOWN_FILES:
            contents = _Contents(tree, base, path, letter)
            change.said = table_remark(path, contents.old, contents.new, contents.read)
            if change.added is None:
                change.said = change.said or "binary, " + sizes(contents.old, contents.new)
            elif not change.said:
                change.diff = shown(tree.patch(base, path))
        area.changes.append(change)


class _Contents:
    """The content of a changed path: in the commit, and now."""

    def __init__(self, tree: Tree, base: str, path: str, letter: str) -> None:
        self._tree, self._base, self._path = tree, base, path
        self.old = self._size(base) if letter != "A" else None
        self.new = self._size("") if letter != "D" else None

    def read(self, before: bool) -> Optional[bytes]:
        try:
            return self._tree.blob(self._base if before else "", self._path)
        except NotCompared:  # it is not a file, or larger than what is read
            return None

    def _size(self, revision: str) -> int:
        printed = self._tree.git("cat-file", "-s", "%s:%s" % (revision, self._path), fails=True).strip()
        return int(printed) if printed.isdigit() else 0


def _remark(area: Area, tree: Tree, since: Optional[str]) -> None:
    """Add what a reader of the list must know."""
    if not since:
        ahead, branch = tree.ahead()
        if ahead:
            commits = "%d commit%s" % (ahead, "" if ahead == 1 else "s")
            area.notes.append("HEAD is %s ahead of %s; --since %s includes them" % (commits, branch, branch))
    if tree.left_out:
        large: List[str] = ["%s (%s)" % (name, size(count)) for name, count in tree.left_out[:5]]
        more = " and %d more" % (len(tree.left_out) - 5) if len(tree.left_out) > 5 else ""
        area.notes.append("Too large to compare: %s%s" % (", ".join(large), more))
