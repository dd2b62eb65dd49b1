"""The host's side of a prepared parent: its start, and the start of a sandbox as a fork of it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import subprocess
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from agent_kernel.errors import SandboxStartFailed
from agent_kernel.sandboxes.bubblewrap.process import DEVICES, Started, data_files
from agent_kernel.sandboxes.bubblewrap.socket import START_TIMEOUT

log = logging.getLogger(__name__)

BASE, HOST = "/base", "/host"
CGROUPS = "/sys/fs/cgroup"
LONGEST = 1 << 16
"""Bytes of a request; see `program.LONGEST`."""
MOST_FAILURES = 3
"""After so many, sandboxes start without a parent: this machine cannot have one."""

Kind = tuple[bool, str | None]

_PROGRAM = Path(__file__).with_name("program.py")
_AT = f"{HOST}/boxd"
_SHELL = '"$@" | { set -f; IFS="\t"; while read -r folders; do rmdir -- $folders; done; } 2>/dev/null &'
"""Each line has the folders of one sandbox that has ended, parted by tabs: one `rmdir` for all of them."""
_TARGETS = {"--ro-bind": 2, "--ro-bind-try": 2, "--symlink": 2, "--tmpfs": 1, "--remount-ro": 1}
"""Options of bwrap and how many words follow; the last one is a path in the sandbox."""


@dataclass(frozen=True)
class Configuration:
    """What all forks of a parent have in common.

    `mounts` are options of bwrap for the read-only system, `files` are added to it, `targets` are the folders
    on which forks mount something. `sandboxes` is the folder of all sandboxes of this data folder, `skills`
    that of their skills, if they have any.
    """

    bwrap: str
    mounts: Sequence[str]
    files: Mapping[str, bytes]
    targets: Sequence[str]
    python: str
    environment: Mapping[str, str]
    sandboxes: Path
    skills: str | None
    network: bool


@dataclass(frozen=True)
class Fork:
    """One sandbox to be forked: its request, see `program.run`, and what is done on the way.

    `listening` is boxd's socket. `place` is entered with process 1 before that does anything, and yields the
    doors of the control groups that it shall join. `then` (if there is something) is called before boxd runs,
    and `ready` waits for its greeting.
    """

    request: Mapping[str, object]
    listening: int
    place: Callable[[Started], AbstractContextManager[list[int]]]
    then: Callable[[], None] | None
    ready: Callable[[], bool]


class ParentUnavailable(Exception):
    """A parent cannot be prepared, or its forks cannot make a sandbox here."""


class Parent:
    """A prepared parent process. It ends when this is closed or collected, after its last sandbox."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = ours
        self._end = weakref.finalize(self, ours.close)
        with theirs:
            _spawn(configuration, theirs)
        ours.settimeout(START_TIMEOUT)
        try:
            answer = ours.recv(100)
        except OSError as error:
            answer, why = b"", str(error)
        else:
            why = "it has ended"
        if answer != b"ready":
            self.close()
            raise ParentUnavailable(why)

    def close(self) -> None:
        """Let it go. Idempotent."""
        self._end()

    @contextlib.contextmanager
    def forking(self, groups: Sequence[str]) -> Iterator[Forking]:
        """Let it fork a process, while the caller prepares what the sandbox needs.

        `groups` are the folders of its control group, to be removed after its end. Unless the process is
        `led`, it ends when this is left. Raises `ParentUnavailable`.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            ours.settimeout(START_TIMEOUT)
            with theirs:
                try:
                    text = json.dumps({"groups": list(groups)}).encode()
                    socket.send_fds(self._control, [text], [theirs.fileno()])
                except OSError as error:
                    raise ParentUnavailable(str(error)) from error
            yield Forking(self, ours)


class Forking:
    """A process that a parent forks to become a sandbox."""

    def __init__(self, parent: Parent, talk: socket.socket) -> None:
        self.parent = parent
        self._talk = talk

    def led(self, fork: Fork) -> Started:
        """Make it the sandbox (blocking). Raises `ParentUnavailable` if nothing has begun to run.

        Raises `SandboxStartFailed` if boxd does not answer, with its reason.
        """
        text = json.dumps(fork.request).encode()
        if len(text) > LONGEST:
            raise ParentUnavailable("the request is too long")
        said = _said(self._talk)
        numbers = said.split()
        if len(numbers) != 2 or not all(map(str.isdigit, numbers)):
            raise ParentUnavailable(said or "it has ended")
        started = Started(*map(int, numbers))
        if not started.alive():
            raise ParentUnavailable("its process has ended")
        try:
            self._lead(fork, text, started)
        except BaseException:
            started.end()
            raise
        return started

    def _lead(self, fork: Fork, text: bytes, started: Started) -> None:
        with fork.place(started) as doors, contextlib.suppress(BrokenPipeError):
            socket.send_fds(self._talk, [text], [fork.listening, *doors])
        if fork.then is not None:
            word = _said(self._talk)
            if word != "held":
                raise ParentUnavailable(word or "its process has ended")
            fork.then()
            with contextlib.suppress(BrokenPipeError):
                self._talk.send(b"1")
        if not fork.ready():
            reason = _said(self._talk) or "no reason given"
            raise SandboxStartFailed(f"The sandbox did not start: {reason}.", hint="See: agent-kernel doctor")


def _said(talk: socket.socket) -> str:
    """Return the next message, empty if there is none."""
    try:
        return talk.recv(2000).decode(errors="replace").strip()
    except OSError:
        return ""


def _spawn(wanted: Configuration, control: socket.socket) -> None:
    """Start it in a bwrap beside a detached shell, so that it outlives us for its sandboxes.

    The shell removes the control groups of sandboxes that have ended, which needs our rights.
    """
    options = {
        "control": control.fileno(),
        "network": wanted.network,
        "targets": list(wanted.targets),
        "devices": DEVICES,
    }
    files = {f"{BASE}{path}": content for path, content in wanted.files.items()}
    files[_AT] = _PROGRAM.read_bytes()
    with data_files(files) as (words, fds):
        argv = [
            *(wanted.bwrap, "--unshare-user", "--unshare-ipc", "--unshare-net", "--unshare-uts"),
            *("--uid", "1000", "--gid", "1000", "--cap-drop", "ALL", "--new-session"),
            *_mounts(wanted),
            *words,
            *("--chdir", "/", "--", wanted.python, "-I", "-S", "-B", _AT, json.dumps(options)),
        ]
        try:
            subprocess.run(
                ["/bin/sh", "-c", _SHELL, "sh", *argv],
                env=dict(wanted.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=None if log.isEnabledFor(logging.DEBUG) else subprocess.DEVNULL,
                pass_fds=(control.fileno(), *fds),
                start_new_session=True,
                cwd="/",
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise ParentUnavailable(str(error)) from error


def _mounts(wanted: Configuration) -> list[str]:
    """Return the options for the system below `BASE`, and for what forks take from below `HOST`."""
    based = list(_based(wanted.mounts))
    tops = {words[-1].split("/")[2] for words in based}
    sandboxes = "--dev-bind" if os.geteuid() == 0 else "--bind"  # with its own device nodes
    skills = () if wanted.skills is None else ("--ro-bind", wanted.skills, f"{HOST}/skills")
    return [
        *("--tmpfs", f"{BASE}/dev"),
        *(word for words in based for word in words),
        # So that paths are the same here as in a sandbox, where Python finds more modules by them.
        *(word for top in sorted(tops) for word in ("--symlink", f"{BASE[1:]}/{top}", f"/{top}")),
        *(sandboxes, str(wanted.sandboxes), f"{HOST}/sandboxes"),
        *skills,
        *("--bind", "/proc", f"{HOST}/proc", "--symlink", f"{HOST[1:]}/proc", "/proc"),
        *("--ro-bind-try", CGROUPS, f"{HOST}/cgroup", "--ro-bind", os.devnull, f"{HOST}/null"),
        *(word for name in DEVICES for word in ("--dev-bind", f"/dev/{name}", f"{HOST}/dev/{name}")),
    ]


def _based(words: Sequence[str]) -> Iterator[list[str]]:
    """Yield each option with its last word, a path, below `BASE`."""
    left = list(words)
    while left:
        option, *left = left
        values, left = left[: _TARGETS[option]], left[_TARGETS[option] :]
        yield [option, *values[:-1], BASE + values[-1]]


class Parents:
    """The parents of a backend, by what their sandboxes have: a network, and a folder for skills.

    There is none for the first sandbox, unless `eager`: many processes make only one. The second waits for
    its parent.
    """

    def __init__(self, *, eager: bool = False) -> None:
        self._eager = eager
        self._parents: dict[Kind, Parent] = {}
        self._lock = threading.Lock()
        self._asked: set[Kind] = set()
        self._failures = 0

    def get(self, kind: Kind, make: Callable[[], Configuration]) -> Parent | None:
        """Return the parent, prepared if necessary (blocking). None: start this sandbox without one."""
        with self._lock:
            if self._failures >= MOST_FAILURES or not (self._eager or kind in self._asked):
                self._asked.add(kind)
                return None
            if kind not in self._parents:
                try:
                    self._parents[kind] = Parent(make())
                except ParentUnavailable as reason:
                    self._count(reason)
            return self._parents.get(kind)

    def refused(self, parent: Parent, reason: ParentUnavailable) -> None:
        """Let a parent go that could not make a sandbox. The next start prepares another, a few times."""
        parent.close()
        with self._lock:
            for kind in [key for key, known in self._parents.items() if known is parent]:
                del self._parents[kind]
                self._count(reason)

    def _count(self, reason: ParentUnavailable) -> None:
        self._failures += 1
        log.info("A sandbox starts more slowly, because no parent process can be used: %s.", reason)

    def close(self) -> None:
        """Let all parents go. Idempotent."""
        with self._lock:
            for parent in self._parents.values():
                parent.close()
            self._parents.clear()
            self._asked.clear()
