"""The bwrap process: its arguments, its start apart from ours, its end."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from agent_kernel.errors import SandboxError, SandboxStartFailed

END_TIMEOUT = 10.0
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
)
ACCOUNTS = "root:x:0:0:root:/root:/bin/bash\nagent:x:1000:1000:agent:/home/agent:/bin/bash\n"
GROUP = "root:x:0:\nagent:x:1000:\n"


@dataclass(frozen=True)
class Started:
    """Process 1 of a sandbox as the host sees it; `ticks` (its start time) guards against a recycled pid."""

    pid: int
    ticks: int

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return _ticks(self.pid) == self.ticks

    def ends(self, within: float) -> bool:
        """Wait up to `within` seconds for its end, and say whether it has ended."""
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


def isolation() -> list[str]:
    """Every namespace is new, no capability is kept, and no further user namespace can be made."""
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


def base_mounts(memory_files: int, *, keep_local: bool) -> list[str]:
    """The read-only system and the file systems in memory, `memory_files` bytes each at most."""
    size = ("--size", str(memory_files))
    words = ["--ro-bind", "/usr", "/usr"]
    if not keep_local:
        words += ["--tmpfs", "/usr/local"]  # an operator's own programs are nobody's business inside
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        path = Path("/") / name
        if path.is_symlink():
            words += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            words += ["--ro-bind", str(path), str(path)]
    for name in ETC:
        words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return [
        *words,
        *("--proc", "/proc", "--dev", "/dev"),
        *(*size, "--tmpfs", "/tmp"),  # noqa: S108 (inside the sandbox)
        *("--size", str(64 << 20), "--tmpfs", "/run"),
    ]


def start(
    arguments: list[str], *, environment: dict[str, str], keep: tuple[int, ...], ready: Callable[[], bool]
) -> Started:
    """Start bwrap so that it outlives us; `ready` waits until the sandbox speaks and says whether it did.

    The shell in between ends at once: bwrap becomes nobody's child, and no signal to our group reaches it.
    Raises `SandboxStartFailed` with bwrap's own words.
    """
    info_read, info_write = os.pipe()
    error_read, error_write = os.pipe()
    with os.fdopen(info_read, "rb", 0) as info, os.fdopen(error_read, "rb", 0) as errors:
        try:
            _spawn(arguments, environment, keep, info_write, error_write)
        finally:
            os.close(info_write)
            os.close(error_write)
        pid = _child_pid(info)
        ticks = _ticks(pid) if pid else None
        if not pid or ticks is None or not ready():
            if pid and ticks:
                Started(pid, ticks).end()
            reason = (errors.read(2000) or b"no reason given").decode(errors="replace").strip()
            raise SandboxStartFailed(f"The sandbox did not start: {reason}.", mend="See: agent-kernel doctor")
        return Started(pid, ticks)


def _spawn(
    arguments: list[str], environment: dict[str, str], keep: tuple[int, ...], info: int, errors: int
) -> None:
    with _text(ACCOUNTS) as passwd, _text(GROUP) as group:
        options = [
            *("--info-fd", str(info)),
            *("--perms", "0644", "--ro-bind-data", str(passwd.fileno()), "/etc/passwd"),
            *("--perms", "0644", "--ro-bind-data", str(group.fileno()), "/etc/group"),
        ]
        subprocess.run(
            ["/bin/sh", "-c", '"$@" &', "sh", arguments[0], *options, *arguments[1:]],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            pass_fds=(*keep, info, passwd.fileno(), group.fileno()),
            start_new_session=True,
            cwd="/",
            check=True,
        )


def _text(content: str) -> IO[str]:
    """A file without a name that holds `content`, to be read from its start by descriptor."""
    file = tempfile.TemporaryFile("w+")  # noqa: SIM115 (the caller closes it)
    file.write(content)
    file.seek(0)
    return file


def _child_pid(info: IO[bytes]) -> int | None:
    """The pid that bwrap reports as JSON; None if it ended before."""
    text = b""
    while b"}" not in text:
        piece = info.read(4096)
        if not piece:
            return None
        text += piece
    return int(json.loads(text)["child-pid"])


def _ticks(pid: int) -> int | None:
    """The start time of a living process; None if there is none (a zombie is none)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])
