"""The audit log: commands, file transfers and life-cycle events, appended as one JSON object per line.

docs/containers.md lists the events and their fields. Each line is one write to a file opened for appending.
So lines of several processes never mix, and a killed process loses no line that it wrote. A line costs some
microseconds and is not synced to disk. No secret enters a sandbox, so none can be in a command's text.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from agent_kernel.errors import ConfigurationError
from agent_kernel.runtime.observe.rotating_file import RotatingFile

log = logging.getLogger(__name__)

Field = str | int | float | bool | None | Sequence[str]

SOON, TOGETHER = 0.005, 64
"""Seconds that a line of `write_soon` waits at most for others, and how many are written together at most."""

LONGEST_TEXT = 64 << 10
"""Characters of one field. A longer one is cut, and the line's `cut` says so."""


class AuditLog:
    """Appends to `path`, readable by its user only. With `path` None nothing is written.

    See `RotatingFile` for `limit` (bytes) and `kept`. A failure after `open` (a full disk) is an error in the
    program's log, and commands continue.
    """

    def __init__(self, path: Path | None, *, limit: int = 32 << 20, kept: int = 4) -> None:
        self._file = RotatingFile(path, limit, kept) if path is not None else None
        self._broken = False
        self._waiting: list[tuple[datetime, str, dict[str, Field]]] = []

    @property
    def path(self) -> Path | None:
        """The newest file; earlier ones have a number after its name. None if nothing is written."""
        return self._file.path if self._file is not None else None

    def of(self, key: str) -> AuditLog:
        """Return the same log with the name of a key on each line; "" adds no name."""
        return _OfKey(self, key) if key else self

    def open(self) -> None:
        """Open the file, before the first action that it records. Raises `ConfigurationError`."""
        if self._file is None:
            return
        try:
            self._file.open()
        except OSError as error:
            raise ConfigurationError(
                f"The audit log {self._file.path} cannot be written: {error.strerror or error}.",
                hint="Point AGENT_KERNEL_AUDIT at another file, or set it to off.",
            ) from error

    def write(self, event: str, **fields: Field) -> None:
        """Append one line; None fields are left out."""
        if self._file is None:
            return
        self._waiting.append((datetime.now(UTC), event, fields))
        self._append()

    def write_soon(self, event: str, **fields: Field) -> None:
        """Append one line a moment later, in one write with others that come until then.

        This is for what happens often and is over. The next `write` and `close` append it at once. Call it in
        an event loop.
        """
        if self._file is None:
            return
        self._waiting.append((datetime.now(UTC), event, fields))
        if len(self._waiting) >= TOGETHER:
            self._append()
        elif len(self._waiting) == 1:
            asyncio.get_running_loop().call_later(SOON, self._append)

    def _append(self) -> None:
        waiting, self._waiting = self._waiting, []
        if self._file is None or not waiting:
            return
        try:
            self._file.append(b"".join([_line(*each) for each in waiting]))
            self._broken = False
        except OSError as error:
            if not self._broken:
                log.error("The audit log %s cannot be written: %s", self._file.path, error.strerror or error)
            self._broken = True

    def close(self) -> None:
        """Close the file. Idempotent; a later write opens it again."""
        self._append()
        if self._file is not None:
            self._file.close()


class _OfKey(AuditLog):
    """The log of one key: adds the key's name to each line."""

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

    def write_soon(self, event: str, **fields: Field) -> None:
        self._log.write_soon(event, **{"key": self._key, **fields})

    def close(self) -> None:
        self._log.close()


OFF = AuditLog(None)
"""An audit log that writes nothing."""


def _line(time: datetime, event: str, fields: dict[str, Field]) -> bytes:
    record: dict[str, object] = {
        "time": time.isoformat(timespec="microseconds"),
        "event": event,
        "pid": os.getpid(),
    }
    for name, value in fields.items():
        if value is not None:
            record[name] = value if value.__class__ is not float else round(value, 6)
    line = json.dumps(record).encode()  # ASCII: no character in it can break a line or a terminal
    if len(line) > LONGEST_TEXT:  # a short line has no long text
        line = json.dumps(_cut(record)).encode()
    return line + b"\n"


def _cut(record: dict[str, object]) -> dict[str, object]:
    """Return a record with its long texts cut, and their names in `cut`."""
    long = {name: text for name, text in record.items() if isinstance(text, str) and len(text) > LONGEST_TEXT}
    cut = {name: text[:LONGEST_TEXT] for name, text in long.items()}
    return {**record, **cut, **({"cut": [*cut]} if cut else {})}


@contextmanager
def audited_call(write: Callable[..., None], tool: str, arguments: str) -> Iterator[None]:
    """Log a call before it runs, and its outcome afterwards."""
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
