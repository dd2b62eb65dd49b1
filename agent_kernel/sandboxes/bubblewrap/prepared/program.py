"""The prepared parent: it has boxd loaded, and forks one process 1 for each sandbox.

A program of its own, started by `parent.py` in a bwrap whose `/base` is the root folder of the sandboxes to
come and whose `/host` has the host's folders that they need parts of. It has no capability there, and runs
nothing but this file and boxd. Each fork makes the namespaces that bwrap makes, mounts what belongs to this
sandbox alone, leaves everything else behind with `pivot_root`, gives up its capabilities, loads the system
call filter, and is boxd then. It shares with other sandboxes the pages of memory that none of them changes.

The order of steps is that of bubblewrap.c, version 0.8. The kernel's side is in namespaces(7),
user_namespaces(7), pivot_root(2).
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BASE = "/base"
BOXD = "/opt/agent-kernel"
USER = 1000
LONGEST = 1 << 16
MOST_FDS = 8

_USER, _MOUNT, _PID = 0x10000000, 0x00020000, 0x20000000
_NAMESPACES = _USER | _MOUNT | _PID | 0x40000000 | 0x08000000 | 0x04000000 | 0x02000000
"""User, mount, pid, network, ipc, uts, cgroup."""
_NOSUID, _NODEV, _NOEXEC, _BIND, _REC, _SLAVE = 2, 4, 8, 0x1000, 0x4000, 0x80000
_DETACH = 2
_RDONLY_ATTRIBUTE, _NOSUID_ATTRIBUTE, _NODEV_ATTRIBUTE = 1, 2, 4
_MOUNT_SETATTR = 442  # the same on every architecture
_SUBREAPER, _DROP_BOUND = 36, 24
_CAPABILITY_VERSION = 0x20080522
_SET_FLAGS, _UP = 0x8914, 0x1

_libc = ctypes.CDLL(None, use_errno=True)


class Forks:
    """Made for each request on the socket `control`. When that closes, it ends with the last sandbox.

    Sandboxes are its children. When one ends, it prints the folders that the host's shell shall remove.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control: socket.socket | None = control
        self._begun: dict[int, list[str]] = {}
        self._groups: dict[int, list[str]] = {}
        self._pids, self._report = os.pipe()
        wake, self._wake = os.pipe()
        for fd in (wake, self._wake, self._pids):
            os.set_blocking(fd, False)
        self._woken = wake
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, stack: None)

    def serve(self) -> None:
        """Run until the host is gone and no sandbox is left."""
        while self._control is not None or self._begun or self._groups:
            ready = [] if self._control is None else [self._control.fileno()]
            found = select.select([*ready, self._woken], [], [])[0]
            if self._woken in found:
                os.read(self._woken, 4096)
                self._reap()
            if self._control is not None and self._control.fileno() in found:
                self._take(self._control)

    def _take(self, control: socket.socket) -> None:
        text, fds = _received(control, LONGEST)
        if not text:
            control.close()
            self._control = None
            return
        request = json.loads(text)
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            run(fds[0], self._report)
        self._begun[pid] = request["groups"]
        for fd in fds:
            os.close(fd)

    def _reap(self) -> None:
        while True:
            try:
                pid = os.waitpid(-1, os.WNOHANG)[0]
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._read_pids()  # a process that forked has written its line before it ended
            self._begun.pop(pid, None)
            folders = self._groups.pop(pid, ())
            if folders:
                with contextlib.suppress(BrokenPipeError):  # somebody has killed the shell
                    os.write(1, os.fsencode("\t".join(folders)) + b"\n")

    def _read_pids(self) -> None:
        try:
            lines = os.read(self._pids, LONGEST).split(b"\n")
        except BlockingIOError:
            return
        for forking, forked in (line.split() for line in lines if line):
            self._groups[int(forked)] = self._begun.get(int(forking), [])


def run(talk: int, report: int) -> None:
    """Become a sandbox. Never returns. What fails is said on the socket `talk`, a packet a message.

    The request comes there once process 1 is waiting, with boxd's socket and the doors of control groups.
    """
    try:
        _call("unshare", _NAMESPACES)
        _map_user(0, USER)  # 0, because the folder of terminals belongs to it
        pid = os.fork()
        if pid:
            os.write(report, b"%d %d\n" % (os.getpid(), pid))
            os.write(talk, b"%d %d" % (pid, _started_at(pid)))
            os._exit(0)
        os.setsid()
        text, (listening, *doors) = _told(talk)
        request = json.loads(text)
        for door in doors:
            os.write(door, b"0")  # this process, which joins a control group
            os.close(door)
        for name, value in request["limits"].items():
            resource.setrlimit(getattr(resource, name), (value, value))
        make_root(request)
        if request["held"]:
            os.write(talk, b"held")
            _told(talk)
        give_up(bytes.fromhex(request["filter"]))
        os.dup2(talk, 2)
        _boxd(dict(request["options"], listen=f"fd:{listening}"))
    except Exception as error:  # noqa: BLE001 (whatever it is, the host must know)
        os.write(talk, f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(1)


def _boxd(options: dict[str, Any]) -> None:
    try:
        importlib.import_module("boxd.__main__").main([json.dumps(options)])
    except SystemExit as end:
        os.write(2, str(end.code).encode())
        os._exit(1)
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}".encode())
        raise
    os._exit(0)


def _started_at(pid: int) -> int:
    """Return the start time of a process, by which the host tells it from a later one of the same number."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[19])


def _told(talk: int) -> tuple[bytes, list[int]]:
    """Wait for the host, and return its message with the descriptors; leave if it is gone."""
    with socket.socket(fileno=os.dup(talk)) as connected:
        text, fds = _received(connected, LONGEST)
    if not text:
        os._exit(1)
    return text, fds


def _received(connected: socket.socket, longest: int) -> tuple[bytes, list[int]]:
    fds = array.array("i")
    text, ancillary, _, _ = connected.recvmsg(longest, socket.CMSG_SPACE(MOST_FDS * fds.itemsize))
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return text, list(fds)


def make_root(request: dict[str, Any]) -> None:
    """Mount what belongs to this sandbox, and make its root folder the root."""
    socket.sethostname("sandbox")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh22x", b"lo", _UP))
    _mount(None, "/", None, _REC | _SLAVE)
    _mount(BASE, BASE, None, _BIND | _REC)
    _mount_kernel(request)
    for source, target, readonly in request["binds"]:
        _mount(source, BASE + target, None, _BIND)
        attributes = _NOSUID_ATTRIBUTE | _NODEV_ATTRIBUTE | (_RDONLY_ATTRIBUTE if readonly else 0)
        _set_attributes(BASE + target, attributes)
    os.chdir(BASE)
    _call("pivot_root", b".", b".")
    _call("umount2", b".", _DETACH)
    os.chdir("/")
    for path in ("/", "/dev"):
        _set_attributes(path, _RDONLY_ATTRIBUTE)
    os.chdir(request["options"]["workspace"])


def _mount_kernel(request: dict[str, Any]) -> None:
    """Mount the file systems of the kernel, those in memory, and the devices."""
    _mount("proc", BASE + "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    with open(BASE + "/proc/sys/user/max_user_namespaces", "w") as file:
        file.write("1")  # for the one that `give_up` makes
    for name in ("sys", "sysrq-trigger", "irq", "bus"):
        path = BASE + "/proc/" + name
        if os.path.exists(path):
            _mount(path, path, None, _BIND | _REC)
            _set_attributes(path, _RDONLY_ATTRIBUTE)
    for path in request["masked"]:
        _mount("/host/null", BASE + path, None, _BIND)
    for name in request["device names"]:
        _mount(request["devices"] + "/" + name, BASE + "/dev/" + name, None, _BIND)
        _set_attributes(BASE + "/dev/" + name, _NOSUID_ATTRIBUTE)
    _mount("devpts", BASE + "/dev/pts", "devpts", _NOSUID | _NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    _mount("mqueue", BASE + "/dev/mqueue", "mqueue", _NOSUID | _NODEV | _NOEXEC)
    for path, size in request["memory"].items():
        _mount("tmpfs", BASE + path, "tmpfs", _NOSUID | _NODEV, f"mode=0755,size={size}")


def give_up(code: bytes) -> None:
    """Enter a user namespace without capabilities that can have no other, and load the system call filter."""
    _call("unshare", _USER)
    _map_user(USER, 0)
    for number in range(64):
        if _libc.prctl(_DROP_BOUND, number, 0, 0, 0):
            break  # the last one was before
    header = struct.pack("Ii", _CAPABILITY_VERSION, 0)
    _call("capset", header, bytes(24))
    importlib.import_module("boxd.families").load(code)


def _map_user(inside: int, outside: int) -> None:
    for name, text in (("setgroups", "deny"), *((f"{kind}id_map", f"{inside} {outside} 1") for kind in "gu")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    words = [None if each is None else each.encode() for each in (source, target, kind)]
    given = None if options is None else options.encode()
    _call("mount", *words, ctypes.c_ulong(flags), given, about=target)


def _set_attributes(path: str, attributes: int) -> None:
    wanted = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)
    arguments = (ctypes.c_long(-100), path.encode(), ctypes.c_long(0), wanted, ctypes.c_long(32))
    _call("syscall", ctypes.c_long(_MOUNT_SETATTR), *arguments, about=path)


def _call(name: str, *arguments: object, about: str = "") -> None:
    if getattr(_libc, name)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), " ".join(filter(None, (name, about))))


def _skeleton(targets: list[str], devices: list[str]) -> None:
    """Make the folders and files on which sandboxes mount something."""
    for path in (*targets, "/dev/pts", "/dev/mqueue"):
        os.makedirs(BASE + path, exist_ok=True)
    for folder in ("/etc", "/opt"):
        os.chmod(BASE + folder, 0o755)  # noqa: S103 (bwrap makes them for its files, without their modes)
    for name in devices:
        os.close(os.open(BASE + "/dev/" + name, os.O_CREAT | os.O_WRONLY, 0o444))
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"/proc/self/fd/{number}", BASE + "/dev/" + name)
    for target, name in (("/proc/self/fd", "fd"), ("/proc/kcore", "core"), ("pts/ptmx", "ptmx")):
        os.symlink(target, BASE + "/dev/" + name)


def main(argument: str) -> None:
    """Load boxd, make what all sandboxes share, say that it is ready, and serve."""
    options = json.loads(argument)
    sys.path.insert(0, BOXD)
    for name in ("boxd.__main__", "boxd.families", *(["boxd.egress.network"] if options["network"] else [])):
        importlib.import_module(name)
    _skeleton(options["targets"], options["devices"])
    _call("prctl", _SUBREAPER, 1, 0, 0, 0)
    gc.collect()
    gc.freeze()
    control = socket.socket(fileno=options["control"])
    control.send(b"ready")
    Forks(control).serve()


if __name__ == "__main__":
    main(sys.argv[1])
