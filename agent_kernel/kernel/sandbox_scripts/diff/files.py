"""Compare the files outside of repositories with those that the notebook put there."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import zipfile
from typing import TYPE_CHECKING, Dict, List, Optional, Tuple

from agent_kernel.kernel.sandbox_scripts.diff.change import (
    MOST_FILES,
    Area,
    Change,
    shown,
    size,
    sizes,
    table_remark,
)
from agent_kernel.kernel.sandbox_scripts.diff.unified import Deadline, FileDiff, FileState, file_diff

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_TEXT = 1 << 20
"""The largest text file that is compared by lines."""
MOST_READ = 64 << 20
"""The most bytes of all files that are compared by lines."""
MOST_PATCH = 20 << 20
TOGETHER = 20
"""The number of new files in one folder from which on they are one entry."""


class Original:
    """A file from before: its size in bytes, its SHA-256, and its content if that was kept."""

    def __init__(self, size: int, digest: str, content: Optional[bytes] = None) -> None:
        self.size = size
        self.digest = digest
        self.content = content


def originals(path: Optional[str]) -> Dict[str, Original]:
    """Read the archive of the files from before; without one there were none."""
    if path is None:
        return {}
    with zipfile.ZipFile(path) as archive:
        listed = json.loads(archive.read("index.json"))
        members = set(archive.namelist())
        return {
            name: Original(
                each["size"],
                each["digest"],
                archive.read(each["member"]) if each["member"] in members else None,
            )
            for name, each in listed.items()
        }


class Comparison:
    """The comparison of all files; `patch` is that of the text files among them."""

    def __init__(self, root: str) -> None:
        self.area = Area("", "files", "")
        self.patch = b""
        self._root = root
        self._deadline = Deadline()
        self._not_in_patch: List[str] = []
        self._left = MOST_READ

    def run(self, before: Mapping[str, Original], now: Mapping[str, os.stat_result]) -> None:
        """Compare. Paths are relative to the root."""
        added = [path for path in now if path not in before]
        together = _crowded(added)
        changes = [self._compared(path, before.get(path), now.get(path)) for path in sorted({*before, *now})]
        found = [change for change in changes if change is not None]
        listed = [change for change in found if not _in(change, together)]
        for folder, paths in sorted(together.items()):
            crowd = Change(folder + "/", "added")
            total = size(sum(now[path].st_size for path in paths))
            crowd.said = "%s files, %s" % (format(len(paths), ","), total)
            listed.append(crowd)
        listed.sort(key=lambda change: change.path)
        self.area.changes = listed[:MOST_FILES]
        self.area.count = len(listed)
        if self._not_in_patch:
            names = ", ".join(self._not_in_patch[:5])
            more = " and %d more" % (len(self._not_in_patch) - 5) if len(self._not_in_patch) > 5 else ""
            self.area.notes.append("A patch has only text: %s%s cannot be in it" % (names, more))

    def _compared(
        self, path: str, old: Optional[Original], status: Optional[os.stat_result]
    ) -> Optional[Change]:
        if old is not None and status is not None and self._same(path, old, status):
            return None
        change = Change(path, "added" if old is None else "removed" if status is None else "changed")
        if old is not None and old.content is None:
            change.said = sizes(old.size, status.st_size if status is not None else None)
            change.said += "; its content from before was not kept"
            self._not_in_patch.append(path)
            return change
        new_size = status.st_size if status is not None else None
        after = self._content(path, status) if status is not None else None
        before = FileState(old.content) if old is not None and old.content is not None else None
        self._describe(change, before, after, (old.size if old is not None else None, new_size))
        return change

    def _describe(
        self,
        change: Change,
        before: Optional[FileState],
        after: Optional[FileState],
        bytes_of: Tuple[Optional[int], Optional[int]],
    ) -> None:
        old_size, new_size = bytes_of

        def read(earlier: bool) -> Optional[bytes]:
            if earlier:
                return before.data if before is not None else None
            return after.data if after is not None else self._large(change.path)

        change.said = table_remark(change.path, old_size, new_size, read)
        known = (before is not None) == (old_size is not None) and (after is not None) == (
            new_size is not None
        )
        if not known:
            self._not_in_patch.append(change.path)
            change.said = change.said or sizes(old_size, new_size) + ", too large for a comparison by lines"
            return
        if not all(content.is_text for content in (before, after) if content is not None):
            self._not_in_patch.append(change.path)
            change.said = change.said or "binary, " + sizes(old_size, new_size)
            return
        found: FileDiff = file_diff(change.path, before, after, self._deadline)
        change.added, change.removed = found.added, found.removed
        if not change.said:
            change.diff = shown(found.patch)
        if len(self.patch) + len(found.patch) > MOST_PATCH:
            self._not_in_patch.append(change.path)
        else:
            self.patch += found.patch

    def _same(self, path: str, old: Original, status: os.stat_result) -> bool:
        if old.size != status.st_size or not stat.S_ISREG(status.st_mode):
            return False
        digest = hashlib.sha256()
        try:
            with open(os.path.join(self._root, path), "rb") as file:
                while True:
                    piece = file.read(1 << 20)
                    if not piece:
                        break
                    digest.update(piece)
        except OSError:
            return False
        return digest.hexdigest() == old.digest

    def _content(self, path: str, status: os.stat_result) -> Optional[FileState]:
        """Return a file's content, or None if it is too large or cannot be read."""
        full = os.path.join(self._root, path)
        try:
            if stat.S_ISLNK(status.st_mode):
                return FileState(os.fsencode(os.readlink(full)), 0o120000)
            if status.st_size > min(MOST_TEXT, self._left):
                return None
            self._left -= status.st_size
            with open(full, "rb") as file:
                data = file.read(MOST_TEXT + 1)
        except OSError:
            return None
        executable = status.st_mode & stat.S_IXUSR
        return FileState(data, 0o100755 if executable else 0o100644) if len(data) <= MOST_TEXT else None

    def _large(self, path: str) -> Optional[bytes]:
        """Return the whole of a table that is too large for a comparison by lines."""
        try:
            with open(os.path.join(self._root, path), "rb") as file:
                return file.read()
        except OSError:
            return None


def _crowded(added: List[str]) -> Dict[str, List[str]]:
    """Return the highest folders in which there are many files, all of them new, with these files."""
    folders: Dict[str, List[str]] = {}
    for path in added:
        top = path.partition("/")[0]
        if top != path:
            folders.setdefault(top, []).append(path)
    return {folder: paths for folder, paths in folders.items() if len(paths) > TOGETHER}


def _in(change: Change, together: Mapping[str, List[str]]) -> bool:
    return change.change == "added" and change.path.partition("/")[0] in together and "/" in change.path
