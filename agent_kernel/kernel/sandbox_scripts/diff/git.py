"""Compare a repository's working tree with a commit, through git, and leave the repository as it is."""

from __future__ import annotations

import os
import subprocess
import tempfile
from typing import TYPE_CHECKING, Dict, List, Optional, Tuple

from agent_kernel.kernel.sandbox_scripts.diff.walk import OURS

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_BYTES = 20 << 20
"""The most bytes that are read from git: also the largest patch."""
MOST_FILE = 5 << 20
"""The largest changed file that is compared."""

# Settings of the repository that would run programs or change the form of a patch.
_SETTINGS = (
    *("safe.directory=*", "core.fsmonitor=false", "core.hooksPath=/dev/null", "core.quotePath=true"),
    *("diff.noprefix=false", "diff.mnemonicPrefix=false", "diff.renames=false", "color.ui=false"),
)
_DIFF = ("--cached", "--no-ext-diff", "--no-textconv", "--no-renames", "--no-color", "--ignore-submodules")


class NotCompared(Exception):
    """Something cannot be compared; the message is the reason."""


class Tree:
    """The working tree of the repository at `root`, as an index of its own in the folder `scratch`."""

    def __init__(self, root: str, scratch: str) -> None:
        self.root = root
        self.left_out: List[Tuple[str, int]] = []
        self._scratch = scratch
        self._variables = ["LC_ALL=C", "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0"]

    def read(self) -> None:
        """Record the working tree: what is tracked, and new files that are not ignored.

        Raises `NotCompared`. Files over the limit are in `left_out` with their size.
        """
        index, objects = self._path("index"), self._path("objects")
        own_index, own_objects = os.path.join(self._scratch, "index"), os.path.join(self._scratch, "objects")
        os.mkdir(own_objects)
        if os.path.exists(index):
            with open(index, "rb") as source, open(own_index, "wb") as target:
                target.write(source.read())
                status = os.fstat(source.fileno())
            # git compares whole seconds. It reads the files of the index's own second, or would miss changes.
            os.utime(own_index, ns=(status.st_atime_ns, status.st_mtime_ns))
        self._variables += ["GIT_INDEX_FILE=" + own_index, "GIT_OBJECT_DIRECTORY=" + own_objects]
        self._variables.append("GIT_ALTERNATE_OBJECT_DIRECTORIES=" + objects)
        self.git("update-index", "-q", "--refresh", fails=True)
        changed = self.names("diff-files", "--name-only", "-z", "--ignore-submodules")
        changed += self.names("ls-files", "-z", "--others", "--exclude-standard", "--exclude", OURS + "*")
        taken = [name for name in dict.fromkeys(changed) if not name.endswith("/") and self._fits(name)]
        names = b"".join(os.fsencode(name) + b"\0" for name in taken)
        self.git("update-index", "-z", "--add", "--remove", "--stdin", given=names)

    def base(self, since: Optional[str]) -> str:
        """Return the commit to compare with: `since`, or HEAD; the empty tree if there is no commit yet.

        Raises `NotCompared` for an unknown commit.
        """
        found = self.git("rev-parse", "--verify", "--quiet", (since or "HEAD") + "^{commit}", fails=True)
        if found.strip():
            return found.decode().strip()
        if since:
            raise NotCompared("it has no commit %s" % since)
        return self.git("hash-object", "-t", "tree", "/dev/null").decode().strip()

    def title(self, base: str) -> str:
        """Return a line about a commit."""
        line = self.git("log", "-1", "--no-show-signature", "--format=%h %s", base, "--", fails=True)
        return line.decode("utf-8", "replace").strip()

    def ahead(self) -> Tuple[int, str]:
        """Return how many commits HEAD is ahead of the branch that it was cloned from, and that branch."""
        name = (
            self.git("rev-parse", "--abbrev-ref", "@{upstream}", fails=True)
            .decode("utf-8", "replace")
            .strip()
        )
        count = self.git("rev-list", "--count", "@{upstream}..HEAD", fails=True).strip() if name else b""
        return (int(count), name) if count.isdigit() else (0, "")

    def changes(self, base: str, folder: str) -> Dict[str, str]:
        """Return the letter of each changed path (A, M, D, T), with paths from the repository's root."""
        pieces = self.names("diff-index", *_DIFF, "--name-status", "-z", base, "--", folder or ".")
        return {path: letter[:1] for letter, path in zip(pieces[::2], pieces[1::2])}  # noqa: B905 (3.8)

    def counts(self, base: str, folder: str) -> Dict[str, Tuple[int, int]]:
        """Return the lines added and removed of each changed text file."""
        found = {}
        for line in self.names("diff-index", *_DIFF, "--numstat", "-z", base, "--", folder or "."):
            added, removed, path = line.split("\t", 2)
            if added.isdigit() and removed.isdigit():
                found[path] = (int(added), int(removed))
        return found

    def patch(self, base: str, *paths: str) -> bytes:
        """Return the patch of some paths, or of all without any. Raises `NotCompared` if it is too long."""
        return self.git("diff-index", *_DIFF, "-p", "--binary", base, "--", *(paths or (".",)))

    def blob(self, revision: str, path: str) -> bytes:
        """Return a file's content in a commit, or in the working tree for an empty `revision`."""
        return self.git("cat-file", "blob", "%s:%s" % (revision, path))

    def names(self, *arguments: str) -> List[str]:
        """Return what git lists, separated by NUL."""
        return [os.fsdecode(name) for name in self.git(*arguments).split(b"\0") if name]

    def git(self, *arguments: str, given: bytes = b"", fails: bool = False) -> bytes:
        """Return what git prints. Raises `NotCompared` if it fails, except where `fails` allows that."""
        settings = [word for setting in _SETTINGS for word in ("-c", setting)]
        command = ["env", *self._variables, "git", "--literal-pathspecs", *settings, *arguments]
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stderr:
            stdin.write(given)
            stdin.seek(0)
            with subprocess.Popen(
                command, cwd=self.root, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr
            ) as process:
                printed = process.stdout.read(MOST_BYTES + 1) if process.stdout is not None else b""
                if len(printed) > MOST_BYTES:
                    process.kill()
                    raise NotCompared("its changes are larger than %d MB" % (MOST_BYTES >> 20))
            if process.returncode and not fails:
                stderr.seek(0)
                raise NotCompared(_reason(stderr.read(2000), process.returncode))
        return b"" if process.returncode else printed

    def _path(self, name: str) -> str:
        found = os.fsdecode(self.git("rev-parse", "--git-path", name)).rstrip("\n")
        return os.path.join(self.root, found)

    def _fits(self, name: str) -> bool:
        try:
            size = os.lstat(os.path.join(self.root, name)).st_size
        except OSError:  # it was removed
            return True
        if size > MOST_FILE:
            self.left_out.append((name, size))
        return size <= MOST_FILE


def _reason(stderr: bytes, code: int) -> str:
    if code == 127:
        return "the container has no git"
    lines: Sequence[str] = stderr.decode("utf-8", "replace").strip().splitlines()
    return "git says: %s" % (lines[0][:200] if lines else "exit code %d" % code)
