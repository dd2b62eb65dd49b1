"""Files inside the sandbox: write, read, list and remove them for the host."""

from __future__ import annotations

import os
import selectors
import stat

from . import wire
from .handler import BoxHandler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .handler import BoxChannel
    from .loop import Loop

PIECE = 1 << 18
"""Bytes of a file that are moved at once, before other work gets its turn."""
LIST_LIMIT = 20000
AHEAD = 4 * wire.WINDOW
"""The credit in bytes for a file sent here. It is written as it comes, so nothing waits in memory."""
LEADS_OUT = "it leads out of"


def _sha256() -> Any:
    import hashlib  # here, because loading it would slow every start

    return hashlib.sha256()


def describe(path: str, status: os.stat_result) -> dict[str, Any]:
    """Describe a file for the host."""
    return {"path": path, "size": status.st_size, "modified_ns": status.st_mtime_ns}


def stat_file(path: str) -> dict[str, Any]:
    """Describe a regular file. Raises `OSError`."""
    status = os.lstat(path)
    if not stat.S_ISREG(status.st_mode):
        raise IsADirectoryError(21, "not a regular file", path)
    return describe(path, status)


def list_files(root: str) -> dict[str, Any]:
    """Describe all regular files below `root`, links not followed, and say whether the list was cut."""
    files: list[dict[str, Any]] = []
    folders = [root]
    while folders:
        try:
            entries = list(os.scandir(folders.pop()))
        except OSError:  # it was removed or its permissions changed during the walk
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


class Put(BoxHandler):
    """Receives a file. It appears under its name only when it is complete."""

    def __init__(
        self, channel: BoxChannel, path: str, within: str | None, digest: bool, executable: bool = False
    ) -> None:
        check_within(path, within)
        self._channel = channel
        self._path = path
        self._digest = _sha256() if digest else None
        self._part = "%s.part-%d" % (path, channel.number)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self._fd: int | None = os.open(
            self._part,
            os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
            0o755 if executable else 0o644,
        )
        channel.grant(AHEAD - wire.WINDOW)

    def on_data(self, stream: int, payload: wire.Bytes) -> None:
        """Write a piece and give the credit back in large steps."""
        if self._digest is not None:
            self._digest.update(payload)
        view = memoryview(payload)
        while view:
            view = view[os.write(self._open_fd(), view) :]
        self._channel.took(len(payload) + wire.FRAME_COST, AHEAD // 4)

    def on_eof(self) -> None:
        """Give the complete file its name."""
        os.close(self._open_fd())
        self._fd = None
        os.replace(self._part, self._path)
        described = stat_file(self._path)
        if self._digest is not None:
            described["sha256"] = self._digest.hexdigest()
        self._channel.result(described)

    def close(self) -> None:
        """Remove an incomplete file. Idempotent."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
            os.unlink(self._part)

    def _open_fd(self) -> int:
        if self._fd is None:
            raise wire.WireError("the file is closed")
        return self._fd

    on_lost = close


class PipedPut(Put):
    """Receives a file from a pipe, in pieces that a processor's cache holds.

    `splice` would save a copy, but writes page by page, and so takes longer.

    The host says at the end, by `EOF`, that all was written: the end of the pipe alone may be its death.
    """

    def __init__(
        self,
        loop: Loop,
        pipe: int,
        channel: BoxChannel,
        path: str,
        within: str | None,
        digest: bool,
        executable: bool,
    ) -> None:
        super().__init__(channel, path, within, digest, executable)
        self._loop = loop
        self._pipe: int | None = pipe
        self._said = False
        self._piece = memoryview(bytearray(PIECE))
        os.set_blocking(pipe, False)
        loop.watch(pipe, selectors.EVENT_READ, lambda mask: self._arrived(pipe))

    def _arrived(self, pipe: int) -> None:
        try:
            if self._moved(pipe, self._open_fd()):
                return
            self._leave_pipe()
            if self._said:
                super().on_eof()
        except BlockingIOError:
            return
        except OSError as error:
            self.close()
            self._channel.error("os", error.strerror or str(error))

    def _moved(self, pipe: int, file: int) -> int:
        """Move a piece and return its size; 0 is the end."""
        size = os.readv(pipe, [self._piece])
        view = self._piece[:size]
        if self._digest is not None:
            self._digest.update(view)
        while view:
            view = view[os.write(file, view) :]
        return size

    def on_data(self, stream: int, payload: wire.Bytes) -> None:
        """Refuse it: the bytes come by the pipe."""
        raise wire.WireError("this call takes no data")

    def on_eof(self) -> None:
        """Give the file its name when the pipe is empty."""
        self._said = True
        if self._pipe is None:
            super().on_eof()

    def _leave_pipe(self) -> None:
        if self._pipe is not None:
            self._loop.watch(self._pipe, 0, None)
            os.close(self._pipe)
            self._pipe = None

    def close(self) -> None:
        """Remove an incomplete file, and let go of the pipe. Idempotent."""
        self._leave_pipe()
        super().close()

    on_lost = close


class Get(BoxHandler):
    """Sends a file, as far as there is credit."""

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
        while self._fd is not None and (room := self._channel.room):
            payload = os.read(self._fd, min(wire.CHUNK, room))
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
