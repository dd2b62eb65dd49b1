"""Find the repositories and the other files of the workspace."""

from __future__ import annotations

import os
import stat
from collections import Counter
from typing import Dict, List, Tuple

MOST = 50_000
"""The most entries of folders that are looked at."""
MOST_REPOSITORIES = 20

OURS = ".agent-kernel-diff-"
"""The beginning of the names of files that the comparison itself puts into the workspace."""

_BUILT = ("__pycache__", "node_modules", "site-packages")


class Workspace:
    """Paths from the root: repositories, and other files with their status.

    `skipped` counts what is not compared by kind; `whole` is false if the limit was reached.
    """

    def __init__(self) -> None:
        self.repositories: List[str] = []
        self.files: Dict[str, os.stat_result] = {}
        self.skipped: Counter[str] = Counter()
        self.whole = True


def walk(root: str) -> Workspace:
    """Return what is below `root`. Links are not followed; hidden and built folders are counted only."""
    found = Workspace()
    seen = 0
    todo = [""]
    while todo:
        folder = todo.pop()
        try:
            with os.scandir(os.path.join(root, folder)) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            found.skipped["unreadable folder"] += 1
            continue
        seen += len(listed)
        if seen > MOST:
            found.whole = False
            break
        names = {entry.name for entry in listed}
        if ".git" in names and len(found.repositories) < MOST_REPOSITORIES:
            found.repositories.append(folder)
            todo += _repositories_in(root, folder, listed)
        elif "pyvenv.cfg" in names:
            found.skipped["virtual environment"] += 1
        else:
            todo += reversed(_take(folder, listed, found))
    return found


def _repositories_in(root: str, folder: str, listed: List["os.DirEntry[str]"]) -> List[str]:
    """Return the folders right inside a repository that are repositories too: git leaves them alone."""
    inner = [entry for entry in listed if entry.is_dir(follow_symlinks=False) and entry.name != ".git"]
    return [
        os.path.join(folder, entry.name)
        for entry in inner
        if os.path.lexists(os.path.join(root, folder, entry.name, ".git"))
    ]


def _take(folder: str, listed: List["os.DirEntry[str]"], found: Workspace) -> List[str]:
    """Record the files of a folder, and return the folders in it."""
    inner = []
    for entry in listed:
        if entry.name.startswith("."):
            found.skipped["hidden"] += not entry.name.startswith(OURS)
        elif entry.is_dir(follow_symlinks=False):
            if entry.name in _BUILT:
                found.skipped[entry.name] += 1
            else:
                inner.append(os.path.join(folder, entry.name))
        else:
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
                found.files[os.path.join(folder, entry.name)] = status
    return inner


def below(path: str, folder: str) -> bool:
    """Return whether a path is a folder or in it; the empty folder is the root."""
    return not folder or path == folder or path.startswith(folder + "/")


def split_at(root: str, paths: List[str]) -> Tuple[List[str], List[str]]:
    """Return the paths below `root`, relative to it, and the others."""
    inside = [os.path.relpath(path, root) if root else path for path in paths if below(path, root)]
    return inside, [path for path in paths if not below(path, root)]
