"""Remembers how the files below a folder were, so that a host can ask what has changed since."""

from __future__ import annotations

import os

from . import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KEPT = 4
"""The number of newest marks to remember. A mark of 20,000 files takes about 4 MB."""


class Marks:
    """Marks by token. They live as long as boxd, so they outlive the host that made them."""

    def __init__(self) -> None:
        self._marks: dict[tuple[str, str], dict[str, tuple[int, int]]] = {}

    def changes(self, root: str, since: str | None) -> dict[str, Any]:
        """Return what is new, changed or gone below `root` since the mark `since`, and the mark of now.

        `known` is false when `since` is not remembered (or None): then no files are named.
        """
        found = files.list_files(root)
        now = {each["path"]: (each["size"], each["modified_ns"]) for each in found["files"]}
        before = self._marks.get((root, since)) if since is not None else None
        answer: dict[str, Any] = {
            "known": before is not None,
            "mark": self._remember(root, now),
            "files": [],
            "gone": [],
            "cut": found["cut"],
        }
        if before is not None:
            answer["files"] = [
                each for each in found["files"] if before.get(each["path"]) != now[each["path"]]
            ]
            answer["gone"] = [path for path in before if path not in now]
        return answer

    def _remember(self, root: str, now: dict[str, tuple[int, int]]) -> str:
        """Return the token of this state: a known one if it is the same, so that it costs no memory."""
        for key, known in self._marks.items():
            if key[0] == root and known == now:
                self._marks[key] = self._marks.pop(key)  # it is the newest again
                return key[1]
        token = os.urandom(12).hex()
        self._marks[root, token] = now
        while len(self._marks) > KEPT:
            del self._marks[next(iter(self._marks))]
        return token
