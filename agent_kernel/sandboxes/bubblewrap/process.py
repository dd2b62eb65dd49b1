"""The bwrap process: its arguments, its start outside our process group, and its end."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shlex
import signal
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from agent_kernel.errors import SandboxError, SandboxStartFailed
from agent_kernel.sandboxes import memory_files
from agent_kernel.sandboxes.bubblewrap import seccomp as bubblewrap_seccomp

END_TIMEOUT = 10.0
LOCAL = "/usr/local"
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
"""The host's device nodes in the `/dev` that bwrap makes."""
ETC = (
    "alternatives",  # Debian's awk, editor, pager ... are links through it
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "fonts",
    "mime.types",
    "magic",
    "ssl/certs",
    "localtime",
    # Settings of Debian's Java and R, which their folders below /usr link to. Those of the site stay away,
    # such as R's Renviron.site: they may hold its tokens.
    *("java-*/security", "java-*/*.properties", "java-*/jvm-*.cfg"),
    *("R/Renviron", "R/ldpaths", "R/Makeconf", "R/repositories", "R/javaconf"),
)
"""Files and folders of the host's `/etc` that its programs need; patterns match what there is."""
MASKED = (
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/timer_list",
    "/proc/timer_stats",
)
"""Files about the host's kernel and its other users, hidden as Docker hides them."""
ACCOUNTS = {
    "/etc/passwd": b"root:x:0:0:root:/root:/bin/bash\nagent:x:1000:1000:agent:/home/agent:/bin/bash\n",
    "/etc/group": b"root:x:0:\nagent:x:1000:\n",
}
"""The files of the accounts in a sandbox."""


@dataclass(frozen=True)
class Started:
    """Process 1 of a sandbox as the host sees it. `ticks`, its start time, detects a recycled pid."""

    pid: int
    ticks: int

    def alive(self) -> bool:
        """Return whether this very process still runs."""
        return started_at(self.pid) == self.ticks

    def ends(self, within: float) -> bool:
        """Wait up to `within` seconds for its end, and return whether it has ended."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            return not self.alive() or bool(select.select([pidfd], [], [], within)[0])
        finally:
            os.close(pidfd)

    def end(self) -> None:
        """Kill process 1 of a sandbox, and with it all others, and wait for its end.

        Raises `SandboxError` if it does not end within 10 s. A pid that was recycled is left alone.
        """
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.alive():
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            os.close(pidfd)
        if not self.ends(END_TIMEOUT):
            raise SandboxError(f"The sandbox's process {self.pid} does not end.")


def end_unknown(bound: str) -> None:
    """End a sandbox, if there is one, by a folder that bwrap was asked to bind."""
    mark = os.fsencode(bound)
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
            if mark in words and words[0].endswith(b"bwrap"):  # not the shell that waits for bwrap
                _end_monitor(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended


def _end_monitor(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)  # so that it starts nothing more
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        ticks = started_at(int(child))
        if ticks is not None:
            Started(int(child), ticks).end()
    os.kill(pid, signal.SIGKILL)


def isolation() -> list[str]:
    """Return options for new namespaces, no capabilities, and no further user namespaces."""
    return [
        *(
            "--unshare-user",
            "--unshare-ipc",
            "--unshare-pid",
            "--unshare-net",
            "--unshare-uts",
            "--unshare-cgroup-try",
        ),
        *("--uid", "1000", "--gid", "1000", "--hostname", "sandbox"),
        *("--cap-drop", "ALL", "--disable-userns", "--new-session", "--as-pid-1"),
    ]


def system_mounts(*, keep_local: bool) -> list[str]:
    """Return options for the read-only system."""
    words = ["--ro-bind", "/usr", "/usr"]
    if not keep_local:
        words += ["--tmpfs", LOCAL]  # hides programs that the operator has installed
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        path = Path("/") / name
        if path.is_symlink():
            words += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            words += ["--ro-bind", str(path), str(path)]
    for found in (str(each) for name in ETC for each in sorted(Path("/etc").glob(name))):
        words += ["--ro-bind-try", found, found]
    return words


def kernel_mounts(memory: int) -> list[str]:
    """Return options for the kernel's file systems, and those in memory for a limit of `memory` bytes."""
    return [
        *("--proc", "/proc", "--dev", "/dev"),
        *("--mqueue", "/dev/mqueue"),  # so that message queues can be seen and removed
        # Started by root, the user inside is root to the kernel where files are concerned, and bwrap leaves
        # its settings writable then.
        *("--ro-bind", "/proc/sys", "/proc/sys"),
        *(word for path in masked() for word in ("--ro-bind", os.devnull, path)),
        *(
            word
            for path, size in memory_files.sizes(memory).items()
            for word in ("--size", str(size), "--tmpfs", path)
        ),
    ]


def masked() -> list[str]:
    """Return the files of `MASKED` that this kernel has."""
    return [path for path in MASKED if os.path.exists(path)]


def closing(mounts: list[str]) -> list[str]:
    """Return the last options, which make what bwrap leaves writable, and without a size, read-only.

    `mounts` are all options before: what is mounted below the folders must be in place.
    """
    made = [path for path in ("/dev", LOCAL) if path in mounts]
    return [word for path in ("/", *made) for word in ("--remount-ro", path)]


def own_devices(folder: Path) -> list[str]:
    """Make separate device nodes if we are root, because the sandbox could change the modes of the host's.

    Raises `SandboxStartFailed` if they cannot be made.
    """
    if os.geteuid() != 0 or all(os.stat(f"/dev/{name}").st_uid != 0 for name in DEVICES):
        return []
    folder.mkdir()
    words = []
    try:
        for name in DEVICES:
            node = folder / name
            os.mknod(node, stat.S_IFCHR | 0o666, os.stat(f"/dev/{name}").st_rdev)
            node.chmod(0o666)
            words += ["--dev-bind", str(node), f"/dev/{name}"]
        (folder / "null").read_bytes()  # fails on a file system without devices
    except OSError as error:
        raise SandboxStartFailed(
            f"No device nodes can be made for the sandbox in {folder}: {error.strerror or error}.",
            hint="Run as an ordinary user, or set AGENT_KERNEL_DATA_DIR to a file system without nodev.",
        ) from error
    return words


@dataclass(frozen=True)
class Start:
    """A plan for one sandbox's start: the arguments of bwrap, and functions to call during the start.

    `make` makes the `folders` of its control group, which are removed (empty by then) when the sandbox ends,
    or if we are killed. `place` is called with process 1 before it runs anything: it records the process, so
    that it is found even if we are killed, and puts it into its control group. `ready` waits until the
    sandbox answers, and returns whether it did.
    """

    arguments: list[str]
    environment: dict[str, str]
    keep: tuple[int, ...]
    open_files: int
    folders: list[str]
    make: Callable[[], None]
    place: Callable[[Started], None]
    ready: Callable[[], bool]
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Files to add read-only, with their content."""


def start(wanted: Start) -> Started:
    """Start bwrap so that it outlives us.

    Raises `SandboxStartFailed` with bwrap's error message, and what `make` and `place` raise.
    """
    info_read, info_write = os.pipe()
    error_read, error_write = os.pipe()
    block_read, block_write = os.pipe()
    begin_read, begin_write = os.pipe()
    with (
        os.fdopen(begin_write, "wb", 0) as begin,
        os.fdopen(info_read, "rb", 0) as info,
        os.fdopen(error_read, "rb", 0) as errors,
        os.fdopen(block_write, "wb", 0) as block,
    ):
        try:
            _spawn(wanted, begin_read, info_write, error_write, block_read, (info_read, error_read))
        finally:
            for fd in (begin_read, info_write, error_write, block_read):
                os.close(fd)
        wanted.make()
        with contextlib.suppress(BrokenPipeError):  # the shell has ended, which `info` shows
            begin.write(b"\n")
        pid = _child_pid(info)
        ticks = started_at(pid) if pid else None
        if pid and ticks:
            started = Started(pid, ticks)
            if _go(wanted, started, block):
                return started
            started.end()
        reason = (errors.read(2000) or b"no reason given").decode(errors="replace").strip()
        raise SandboxStartFailed(f"The sandbox did not start: {reason}.", hint="See: agent-kernel doctor")


def _go(wanted: Start, started: Started, block: IO[bytes]) -> bool:
    wanted.place(started)
    try:
        block.write(b"1")
    except BrokenPipeError:
        return False
    return wanted.ready()


def _spawn(wanted: Start, begin: int, info: int, errors: int, block: int, ends: tuple[int, ...]) -> None:
    """Start bwrap below a detached shell, so that no signal to our process group reaches it.

    The shell waits for a line on `begin`, so that it is there before the folders are. It lives as long as the
    sandbox and removes its folders at the end, even if we are gone. `ends` are our ends of its pipes. bwrap
    holds them too: otherwise it would die of a broken pipe if we are killed at this moment, and its child
    would wait for ever.
    """
    with ExitStack() as stack:
        seccomp = stack.enter_context(_file(bubblewrap_seccomp.program())).fileno()
        words, files = stack.enter_context(data_files(wanted.files))
        options = ["--info-fd", str(info), "--block-fd", str(block), "--seccomp", str(seccomp), *words]
        clear = f"rmdir -- {shlex.join(wanted.folders)} 2>/dev/null" if wanted.folders else ":"
        told = f"read -r line </proc/self/fd/{begin}"  # a shell may know descriptors of one digit only
        limited = f'ulimit -c 0; ulimit -n {wanted.open_files}; {{ {told} && "$@"; {clear}; }} &'
        subprocess.run(
            ["/bin/sh", "-c", limited, "sh", wanted.arguments[0], *options, *wanted.arguments[1:]],
            env=wanted.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            pass_fds=(*wanted.keep, *ends, begin, info, block, seccomp, *files),
            start_new_session=True,
            cwd="/",
            check=True,
        )


@contextmanager
def data_files(files: Mapping[str, bytes]) -> Iterator[tuple[list[str], list[int]]]:
    """Yield options that add read-only files with their content, and the descriptors that bwrap needs."""
    words, fds = [], []
    with ExitStack() as stack:
        for path, content in files.items():
            fds.append(stack.enter_context(_file(content)).fileno())
            words += ["--perms", "0644", "--ro-bind-data", str(fds[-1]), path]
        yield words, fds


def _file(content: bytes) -> IO[bytes]:
    """Make an unnamed file with `content`, to be read from its start by descriptor."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
    file.write(content)
    file.seek(0)
    return file


def _child_pid(info: IO[bytes]) -> int | None:
    """Read the pid that bwrap reports as JSON, or None if it ended before."""
    text = b""
    while b"}" not in text:
        piece = info.read(4096)
        if not piece:
            return None
        text += piece
    return int(json.loads(text)["child-pid"])


def started_at(pid: int) -> int | None:
    """Return the start time of a living process, or None if it does not live (zombies included)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])
