"""Puts an overlay under the folders of a running sandbox. A program of its own: see `namespaces.Entrance`.

A process with threads cannot enter a user namespace, and starting Python takes longer than the work, so this
process waits for requests and forks for each. The fork becomes a member of the sandbox's user and mount
namespaces, but not of the others: nothing inside can see or signal it. It runs and follows nothing of the
sandbox's: it opens only mount points that bwrap has made, and reads the kernel's own text in `/proc`.

A folder's old mount is made read-only first, which the kernel refuses while a file is open for writing, and
leaves with the processes that still read from it. `pivot_root` moves every process whose working directory is
the top of an old mount. Those below it are found before, and then nothing is changed. None of this is done
for a sandbox that is left: its processes are about to be ended, and its old files to be removed.
"""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import json
import os
import signal
import socket
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_OPTIONS = ("userxattr", "volatile")
"""`volatile`: otherwise each change of mounts would write the host's whole file system to the disk."""

SECONDS = 15
"""How long one request may take."""

MOST_FDS = 8
LONGEST = 1 << 16

_NEWUSER, _NEWNS = 0x10000000, 0x00020000
_NS_GET_USERNS = 0xB701
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442  # the same on every architecture
_AT_EMPTY_PATH = 0x1000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
_MNT_DETACH = 2
_RDONLY = 1

_MOST_SOCKETS = 1 << 20
"""Bytes to read of the table of sockets."""

_STATUS = "/run/boxd/status"
"""Where boxd's shell writes its last report after a command."""

_libc = ctypes.CDLL(None, use_errno=True)


class Busy(Exception):
    """A process has a file open for writing, or works in a folder below."""


def main(fd: int) -> None:
    """Serve requests on the socket `fd` until it closes."""
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=fd) as requests:
        while True:
            text, fds = _receive(requests)
            if not text:
                return
            if os.fork() == 0:
                requests.close()
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(SECONDS)
                _answer(json.loads(text), fds)
                os._exit(0)
            for each in fds:
                os.close(each)


def _receive(requests: socket.socket) -> tuple[bytes, list[int]]:
    fds = array.array("i")
    text, ancillary, _, _ = requests.recvmsg(LONGEST, socket.CMSG_SPACE(MOST_FDS * fds.itemsize))
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return text, list(fds)


def _answer(request: dict[str, Any], fds: list[int]) -> None:
    """Do what is asked, and write the result to the first descriptor."""
    try:
        result = _replace(request, *fds[1:])
    except Busy as busy:
        result = {"busy": str(busy)}
    except Exception as error:  # noqa: BLE001 (whatever it is, the caller copies instead)
        result = {"failed": f"{type(error).__name__}: {error}"}
    os.write(fds[0], json.dumps(result).encode())


def _replace(request: dict[str, Any], lock: int, namespace: int) -> dict[str, Any]:
    """Mount an overlay and put it under the targets. `lock` is only held until the end."""
    os.stat(lock)
    _call("setns", fcntl.ioctl(namespace, _NS_GET_USERNS), _NEWUSER)
    _call("unshare", _NEWNS)  # the host's folders, but mounts made here are ours
    # Descriptors of these mounts, and in place of paths: a path may hold what separates options.
    folders = {
        name: [f"/proc/self/fd/{os.open(path, os.O_PATH | os.O_DIRECTORY)}" for path in request[name]]
        for name in ("lowerdir", "upperdir", "workdir")
    }
    words = [f"{name}={':'.join(paths)}" for name, paths in folders.items()]
    place = os.fsencode(request["place"])
    flags = ctypes.c_ulong(_MS_NOSUID | _MS_NODEV | (_MS_NOEXEC if request["noexec"] else 0))
    _call("mount", b"overlay", place, b"overlay", flags, ",".join([*words, *_OPTIONS]).encode())
    trees = {}
    for part, target in request["targets"].items():
        path = os.path.join(place, os.fsencode(part))
        trees[target] = _syscall(_OPEN_TREE, -100, ctypes.c_char_p(path), 1 | os.O_CLOEXEC)
    _call("setns", namespace, _NEWNS)
    _swap(trees, check=request["check"], left=request["left"])
    return {}


def _swap(trees: dict[str, int], *, check: bool, left: bool) -> None:
    root = os.open("/", os.O_PATH | os.O_DIRECTORY)
    old = {path: os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW) for path in trees}
    closed: list[int] = []
    try:
        for path, fd in old.items() if not left else ():
            try:
                _set_readonly(fd, on=True)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                raise Busy(f"a process has a file in {path} open for writing") from None
            closed.append(fd)
        if check:
            _check_holders(tuple(trees))
        for path, tree in trees.items():
            _exchange(old[path], tree)
            closed = [fd for fd in closed if fd != old[path]]
            os.fchdir(root)
            os.chroot(".")
    finally:
        for fd in closed:
            _set_readonly(fd, on=False)


def _exchange(old: int, new: int) -> None:
    """Put the mount `new` where the mount `old` is, and move the processes at its top."""
    os.fchdir(old)
    os.chroot(".")
    _syscall(_MOVE_MOUNT, new, ctypes.c_char_p(b""), old, ctypes.c_char_p(b""), 0x4 | 0x40)
    os.fchdir(new)
    _call("pivot_root", b".", b".")
    _call("umount2", b".", _MNT_DETACH)


def _set_readonly(fd: int, *, on: bool) -> None:
    attributes = (ctypes.c_uint64 * 4)(_RDONLY if on else 0, 0 if on else _RDONLY, 0, 0)
    _syscall(_MOUNT_SETATTR, fd, ctypes.c_char_p(b""), _AT_EMPTY_PATH, attributes, ctypes.sizeof(attributes))


def _check_holders(targets: tuple[str, ...]) -> None:
    """Raise `Busy` for a process that works in a folder below a target, or has one open.

    Neither pipes nor sockets with a name would be the same in the new mount as in the old one. boxd's own
    shell may, while no command runs in it: boxd takes it to the new mount. boxd itself, process 1, works at
    the top, has neither folders nor pipes open there, and cannot be looked into if it is a fork.
    """
    below = tuple(target + "/" for target in targets)
    for name in os.listdir("/proc"):
        if name.isdigit() and name != "1":
            try:
                _check_process("/proc/" + name, below, targets)
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has just ended
    with open("/proc/1/net/unix", "rb") as file:
        table = file.read(_MOST_SOCKETS)
    for line in table.splitlines()[1:]:
        name = os.fsdecode([*line.split(None, 7), b"@"][7])  # most have none
        if name.startswith(below) or name[:1] not in "/@":
            raise Busy("a process listens on the socket " + name)
    if len(table) == _MOST_SOCKETS:
        raise Busy("there are too many sockets")


def _check_process(process: str, below: tuple[str, ...], targets: tuple[str, ...]) -> None:
    for link in ("cwd", "root"):
        if os.readlink(f"{process}/{link}").startswith(below) and not _is_idle_shell(process):
            raise Busy("a process works in a folder below: " + _name(process))
    folder = process + "/fd"
    for fd in os.listdir(folder):
        try:
            path = os.readlink(f"{folder}/{fd}")
            inside = path.startswith(below) or path in targets
            mode = os.stat(f"{folder}/{fd}").st_mode if inside else 0
            if stat.S_ISDIR(mode) or stat.S_ISFIFO(mode):
                raise Busy("a process has a folder or a pipe open: " + _name(process))
        except FileNotFoundError:
            continue


def _is_idle_shell(process: str) -> bool:
    """Return whether it is boxd's shell between two commands. A process that only pretends harms itself."""
    with open(process + "/cmdline", "rb") as file:
        words = file.read(100)
    with open(process + "/stat", "rb") as file:
        parent = file.read(1000).rpartition(b")")[2].split()[1]
    idle = os.readlink(process + "/fd/1") in (os.devnull, _STATUS)
    return idle and parent == b"1" and words == b"bash\0--noprofile\0--norc\0-s\0"


def _name(process: str) -> str:
    with open(process + "/cmdline", "rb") as file:
        return file.read(100).replace(b"\0", b" ").decode(errors="replace").strip()


def _call(name: str, *arguments: object) -> int:
    function = getattr(_libc, name)
    return _checked(name, function(*arguments))


def _syscall(number: int, *arguments: object) -> int:
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return _checked(f"system call {number}", _libc.syscall(ctypes.c_long(number), *words))


def _checked(name: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return result


if __name__ == "__main__":
    main(int(sys.argv[1]))
