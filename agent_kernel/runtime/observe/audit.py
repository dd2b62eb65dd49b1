"""The audit log: what was run, moved, made and destroyed, one JSON object per line, only ever appended.

docs/containers.md has the table of events and fields. A line is one write to a file opened for appending, so
that lines of several processes never mix and a killed process loses none that it had written; it costs some
microseconds and is not forced to the disk. No secret enters a sandbox, so none can be in a command's text.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from agent_kernel.errors import ConfigurationError

log = logging.getLogger(__name__)

Field = str | int | float | bool | None | Sequence[str]

LONGEST_TEXT = 64 << 10
"""Characters of one field; what is longer is cut, and the line says so in `cut`."""


class AuditLog:
    """Appends to `path`, readable by its user only. With `path` None nothing is written.

    A file over `limit` bytes becomes `<path>.1`, that one `<path>.2` and so on up to `kept`; older ones are
    removed. Processes may share a log. `open` raises `ConfigurationError` where the file cannot be written; a
    failure later on (a full disk) is an error in the program's log, and commands go on.
    """

    def __init__(self, path: Path | None, *, limit: int = 32 << 20, kept: int = 4) -> None:
        self._path = path
        self._limit = limit
        self._kept = kept
        self._fd: int | None = None
        self._broken = False

    def of(self, key: str) -> AuditLog:
        """The same log, each of whose lines says whose key it was for; "" says nothing."""
        return _OfKey(self, key) if key else self

    def open(self) -> None:
        """Open it before anything is done that it must tell. Raises `ConfigurationError`."""
        if self._path is None or self._fd is not None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._fd = _opened(self._path)
        except OSError as error:
            raise ConfigurationError(
                f"The audit log {self._path} cannot be written: {error.strerror or error}.",
                hint="Point AGENT_KERNEL_AUDIT at another file, or set it to off.",
            ) from error

    def write(self, event: str, **fields: Field) -> None:
        """Append one line; None fields are left out."""
        if self._path is None:
            return
        line = _line(event, fields)
        try:
            os.write(self._follow(self._path), line)
            self._broken = False
        except OSError as error:
            if not self._broken:
                log.error("The audit log %s cannot be written: %s", self._path, error.strerror or error)
            self._broken = True

    def _follow(self, path: Path) -> int:
        """The file to write to: a new one where this one is full, or another process has begun a new one."""
        if self._fd is not None:
            ours = os.fstat(self._fd)
            if ours.st_size >= self._limit:
                self._rotate(path, ours.st_ino)
            with suppress(FileNotFoundError):
                if path.stat().st_ino == ours.st_ino:
                    return self._fd
            self.close()
        self._fd = _opened(path)
        return self._fd

    def _rotate(self, path: Path, inode: int) -> None:
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists() or path.stat().st_ino != inode:  # another process was first
                return
            for number in range(self._kept, 0, -1):
                older = path if number == 1 else Path(f"{path}.{number - 1}")
                with suppress(FileNotFoundError):
                    older.replace(f"{path}.{number}")
        finally:
            os.close(lock)

    def close(self) -> None:
        """Close the file. Idempotent; a later write opens it again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class _OfKey(AuditLog):
    """The log as the containers of one key write it."""

    def __init__(self, log: AuditLog, key: str) -> None:
        super().__init__(None)
        self._log = log
        self._key = key

    def of(self, key: str) -> AuditLog:
        return self._log.of(key)

    def open(self) -> None:
        self._log.open()

    def write(self, event: str, **fields: Field) -> None:
        self._log.write(event, **{"key": self._key, **fields})

    def close(self) -> None:
        self._log.close()


OFF = AuditLog(None)
"""Writes nothing."""


def _opened(path: Path) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(path, flags, 0o600)


def _line(event: str, fields: dict[str, Field]) -> bytes:
    record: dict[str, object] = {
        "time": datetime.now(UTC).isoformat(timespec="microseconds"),
        "event": event,
        "pid": os.getpid(),
    }
    cut = []
    for name, value in fields.items():
        if isinstance(value, str) and len(value) > LONGEST_TEXT:
            cut.append(name)
            record[name] = value[:LONGEST_TEXT]
        elif value is not None:
            record[name] = round(value, 6) if isinstance(value, float) else value
    if cut:
        record["cut"] = cut
    return json.dumps(record).encode() + b"\n"  # ASCII: no character in it can break a line or a terminal


@contextmanager
def audited_call(write: Callable[..., None], tool: str, arguments: str) -> Iterator[None]:
    """Write down a call before it runs, and how it ended."""
    began, outcome = time.monotonic(), "cancelled"
    write("call", tool=tool, arguments=arguments)
    try:
        yield
        outcome = "ended"
    except Exception:
        outcome = "lost"
        raise
    finally:
        write("call.end", tool=tool, outcome=outcome, seconds=time.monotonic() - began)
