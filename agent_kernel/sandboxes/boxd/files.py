"""Files inside the sandbox: written, read, listed and removed for the host."""

from __future__ import annotations

import os
import stat

from . import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .connection import BoxChannel

LIST_LIMIT = 20000
AHEAD = 4 * wire.WINDOW
"""How much of a file may be on its way here: nothing of it waits in memory, it is written as it comes."""
LEADS_OUT = "it leads out of"


def _sha256() -> Any:
    import hashlib  # only where it is asked for: loading it would slow every start

    return hashlib.sha256()


def describe(path: str, status: os.stat_result) -> dict[str, Any]:
    """What the host is told of a file."""
    return {"path": path, "size": status.st_size, "modified_ns": status.st_mtime_ns}


def stat_file(path: str) -> dict[str, Any]:
    """A regular file's description. Raises `OSError`."""
    status = os.lstat(path)
    if not stat.S_ISREG(status.st_mode):
        raise IsADirectoryError(21, "not a regular file", path)
    return describe(path, status)


def list_files(root: str) -> dict[str, Any]:
    """All regular files below `root`, links not followed, and whether the list was cut."""
    files: list[dict[str, Any]] = []
    folders = [root]
    while folders:
        try:
            entries = list(os.scandir(folders.pop()))
        except OSError:  # removed or closed to us while we walk
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif entry.is_file(follow_symlinks=False):
                if len(files) == LIST_LIMIT:
                    return {"files": files, "cut": True}
                try:
                    files.append(describe(entry.path, entry.stat(follow_symlinks=False)))
                except OSError:
                    continue
    return {"files": files, "cut": False}


def check_within(path: str, within: str | None) -> None:
    """Raise `OSError` if `path`, links followed, leads out of the folder `within` (None: anywhere)."""
    if within is None:
        return
    root = os.path.realpath(within)
    if os.path.commonpath([root, os.path.realpath(path)]) != root:
        raise PermissionError(1, "%s %s" % (LEADS_OUT, within), path)


def changed_files(root: str, since: dict[str, list[int]]) -> dict[str, Any]:
    """What is new or changed below `root`, and what is gone, against `{path: [size, modified_ns]}`."""
    found = list_files(root)
    now = {each["path"]: each for each in found["files"]}
    changed = [each for path, each in now.items() if since.get(path) != [each["size"], each["modified_ns"]]]
    gone = [path for path in since if path not in now]
    return {"files": changed, "gone": gone, "cut": found["cut"]}


class Put(wire.Handler):
    """Takes a file's content; it appears under its name only when it is whole."""

    def __init__(
        self, channel: BoxChannel, path: str, within: str | None, digest: bool, executable: bool = False
    ) -> None:
        check_within(path, within)
        self._channel = channel
        self._path = path
        self._taken = 0
        self._digest = _sha256() if digest else None
        self._part = "%s.part-%d" % (path, channel.number)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self._fd: int | None = os.open(
            self._part,
            os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
            0o755 if executable else 0o644,
        )
        channel.grant(AHEAD - wire.WINDOW)

    def on_data(self, stream: int, payload: wire.Bytes) -> None:
        """Write a piece and give the credit back, in large steps."""
        if self._digest is not None:
            self._digest.update(payload)
        view = memoryview(payload)
        while view:
            view = view[os.write(self._open_fd(), view) :]
        self._taken += len(payload)
        if self._taken >= AHEAD // 4:  # each message to the host has its price
            self._channel.grant(self._taken)
            self._taken = 0

    def on_eof(self) -> None:
        """The file is whole."""
        os.close(self._open_fd())
        self._fd = None
        os.replace(self._part, self._path)
        described = stat_file(self._path)
        if self._digest is not None:
            described["sha256"] = self._digest.hexdigest()
        self._channel.result(described)

    def close(self) -> None:
        """Leave nothing of a file that is not whole. Idempotent."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
            os.unlink(self._part)

    def _open_fd(self) -> int:
        if self._fd is None:
            raise wire.WireError("the file is closed")
        return self._fd

    on_lost = close


class Get(wire.Handler):
    """Sends a file's content as far as there is credit."""

    def __init__(self, channel: BoxChannel, path: str, within: str | None, digest: bool) -> None:
        check_within(path, within)
        self._channel = channel
        self._digest = _sha256() if digest else None
        self._fd: int | None = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            self.close()
            raise IsADirectoryError(21, "not a regular file", path)
        self._pump()

    def on_credit(self) -> None:
        """Go on."""
        self._pump()

    def _pump(self) -> None:
        while self._fd is not None and self._channel.credit > 0:
            payload = os.read(self._fd, min(wire.CHUNK, self._channel.credit))
            if not payload:
                self.close()
                self._channel.result({} if self._digest is None else {"sha256": self._digest.hexdigest()})
                return
            if self._digest is not None:
                self._digest.update(payload)
            self._channel.data(wire.CONTENT, payload)

    def close(self) -> None:
        """Stop reading. Idempotent."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    on_lost = close
