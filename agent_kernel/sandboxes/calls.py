"""One call to boxd, and the values that boxd answers with."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal

from agent_kernel.errors import SandboxFileError
from agent_kernel.sandboxes.boxd import wire


@dataclass(frozen=True, slots=True)
class Output:
    """A piece of a command's output: bytes as they came, cut anywhere."""

    stream: Literal["stdout", "stderr"]
    data: bytes


@dataclass(frozen=True, slots=True)
class Exited:
    """The command ended by itself. `code` is its exit code, or 128 + n if signal n ended it.

    `reached` names the sandbox's limits that it reached ("out of memory: limit 1 GiB"). `log` is the path
    inside of the file with all of a long output (its head and tail, if it was very long).
    """

    code: int
    reached: tuple[str, ...] = ()
    log: str | None = None


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The command reached its time limit, and all that it started was killed. Fields as in `Exited`."""

    log: str | None = None
    reached: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileStat:
    """A regular file inside: absolute path, size in bytes, time of change in ns since 1970.

    Bytes of a path that are not UTF-8 are lone surrogates, as in Python's own file names. `sha256` (hex) is
    set if it was asked for.
    """

    path: str
    size: int
    modified_ns: int
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes below a folder since a mark: new and changed files, and paths that are gone.

    `mark` names the state of now, for a later call. `known` is false when the sandbox does not remember the
    earlier mark; then `files` and `gone` are empty. At most 20,000 files are looked at; `cut` says that there
    were more.
    """

    files: tuple[FileStat, ...]
    gone: tuple[str, ...]
    mark: str
    known: bool
    cut: bool


@dataclass(frozen=True, slots=True)
class Aftermath:
    """The sandbox after a failed command: where the shell is, which files changed, what still runs.

    `changed` and `running` (pid and command line) name the first of `changes` files and `processes`.
    """

    directory: str
    changed: tuple[str, ...]
    changes: int
    running: tuple[str, ...]
    processes: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """The number of bytes of output that the sandbox no longer keeps. Comes before any output."""

    size: int


CommandEvent = Output | Exited | TimedOut
Frame = tuple[int, bytes]


class Call:
    """One call to boxd: the frames that came for it and were not yet taken, and its credit."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.frames: deque[Frame] = deque()
        self.answered = False
        self.report: bytes | None = None
        """The last event that boxd has sent about it, as JSON."""
        self.given = False
        """Whether a descriptor went with it."""
        self.ended = False
        self.credit = wire.Credit()
        self.news = asyncio.Event()

    def receive(self, kind: int, payload: bytes) -> None:
        """Keep a frame from boxd. Raises `WireError` if it does not belong here, or exceeds the credit."""
        if self.answered:
            raise wire.WireError("a frame after the answer")
        if kind == wire.CREDIT:
            self.credit.allowed(wire.parse_credit(payload))
        elif kind in (wire.RESULT, wire.ERROR):
            self.answered = True
        elif kind == wire.EVENT:
            self.report = payload
        elif self.ended or kind not in (wire.DATA, wire.EOF):
            raise wire.WireError(f"frame of kind {kind} on a call of the host's")
        elif kind == wire.EOF:
            self.ended = True
        else:
            if not payload:
                raise wire.WireError("data without a stream number")
            self.credit.received(len(payload) - 1)  # without a copy of the bytes
        if kind in (wire.DATA, wire.EOF, wire.RESULT, wire.ERROR):
            self.frames.append((kind, payload))
        self.news.set()

    def take_data(self, payload: bytes) -> tuple[int, bytes, int]:
        """Split a data frame into stream and bytes, and return how much credit to give back now."""
        stream, data = wire.parse_data(payload)
        return stream, data, self.credit.taken(len(data) + wire.FRAME_COST)


def read_outcome(value: dict[str, Any]) -> Exited | TimedOut:
    """Read a command's outcome from boxd's answer. Raises `SandboxFileError` if it has none."""
    log = value.get("log")
    path = log[:200] if isinstance(log, str) else None
    reached = tuple(str(each)[:200] for each in (value.get("reached") or [])[:8])
    if value.get("timed_out"):
        return TimedOut(path, reached)
    code = value.get("exit_code", 130 if value.get("cancelled") else None)
    if type(code) is not int or not 0 <= code <= 255:
        raise SandboxFileError(reason({"message": value.get("error")}))
    return Exited(code, reached, path)


_NAMED = 20
_LONGEST = 200


def read_aftermath(value: dict[str, Any]) -> Aftermath:
    """Read boxd's answer: a claim, so it is bounded and has no control characters."""
    changed, running = _names(value.get("changed")), _names(value.get("running"))
    return Aftermath(
        _printable(value.get("directory")),
        changed,
        max(len(changed), _count(value.get("changes"))),
        running,
        max(len(running), _count(value.get("processes"))),
    )


def _names(value: object) -> tuple[str, ...]:
    return tuple(_printable(each) for each in value[:_NAMED]) if isinstance(value, list) else ()


def _count(value: object) -> int:
    return min(value, 1_000_000) if isinstance(value, int) else 0


def _printable(value: object) -> str:
    text = value[:_LONGEST] if isinstance(value, str) else "?"
    return "".join(each if each.isprintable() else "?" for each in text)


def read_file(value: dict[str, Any]) -> FileStat:
    """Read a file's description from boxd's answer. Raises `WireError`."""
    path, size, modified_ns = value.get("path"), value.get("size"), value.get("modified_ns")
    if not (isinstance(path, str) and isinstance(size, int) and isinstance(modified_ns, int)):
        raise wire.WireError("not a file's description")
    digest = value.get("sha256")
    return FileStat(path, size, modified_ns, digest if isinstance(digest, str) else None)


def reason(value: dict[str, Any]) -> str:
    """Make a message for the user from boxd's error. It is bounded, because it comes from inside."""
    return f"The sandbox says: {str(value.get('message'))[:500]}."
