"""A look from inside at what a sandbox can see and do; `test_posture.py` holds it against docs/isolation.md.

Also a program, for the classes that another user has to start: `python3 -m tests.sandboxes.posture FOLDER`
looks into a bubblewrap sandbox, with `fork` in a fork, and prints what it saw as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from agent_kernel.sandboxes.base import Backend, SandboxSpec
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.channel import Channel, Exited, Output
from agent_kernel.sandboxes.toolbox import MOUNT, Toolbox

LOOK = r'''
import ctypes, errno, json, os, resource, socket, stat

libc = ctypes.CDLL(None, use_errno=True)
text = ctypes.create_string_buffer(256)

def status():
    with open("/proc/self/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)

def mounts():
    with open("/proc/mounts") as file:
        return {line.split()[1]: [*line.split()[3].split(","), "type=" + line.split()[2]] for line in file}

def sizes():
    """The sizes of the file systems in memory that can be written to, in MiB."""
    found = {}
    for where, options in mounts().items():
        if "ro" not in options and "type=tmpfs" in options and os.path.isdir(where):
            system = os.statvfs(where)
            found[where] = system.f_blocks * system.f_frsize / (1 << 20)
    return found

def read(path):
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        return bool(os.read(fd, 1))
    except OSError:
        return False

def writable(top):
    found = []
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
                found.append(path)
            except OSError:
                pass
    return found

def sockets():
    found = []
    for folder, folders, names in os.walk("/"):
        if folder == "/":
            folders[:] = [name for name in folders if name not in ("proc", "sys", "usr")]
        for name in names:
            try:
                if stat.S_ISSOCK(os.lstat(os.path.join(folder, name)).st_mode):
                    found.append(os.path.join(folder, name))
            except OSError:
                pass
    return found

def devices():
    found = []
    for folder, folders, names in os.walk("/dev"):
        folders[:] = [name for name in folders if name not in ("pts", "shm", "mqueue")]
        for name in names:
            mode = os.lstat(os.path.join(folder, name)).st_mode
            if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                found.append(os.path.relpath(os.path.join(folder, name), "/dev"))
    return sorted(found)

def can(call):
    """Whether it succeeds, tried in a process of its own: one success must not help the next."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(1 if call() == -1 else 0)
        except OSError:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0

def families():
    """The socket families that the kernel knows here, whatever it says of their types."""
    known = []
    for family in range(64):
        for kind in (1, 2, 3, 5):
            try:
                socket.socket(family, kind).close()
            except OSError as error:
                if error.errno in (errno.EAFNOSUPPORT, errno.EINVAL, errno.EPERM, errno.EACCES):
                    continue
            known.append(family)
            break
    return known

def pairs():
    """Those of them, and some others, in which a pair of sockets can be made."""
    made = []
    for family in range(64):
        if libc.socketpair(family, 1, 0, ctypes.create_string_buffer(8)) == 0:
            made.append(family)
    return made

x86 = os.uname().machine == "x86_64"
calls = {
    "mount": lambda: libc.mount(b"none", b"/mnt", b"tmpfs", 0, None),
    "mknod": lambda: os.mknod("/tmp/disk", 0o600 | stat.S_IFBLK, os.makedev(8, 0)),
    "chroot": lambda: os.chroot("/tmp"),
    "user namespace": lambda: libc.unshare(0x10000000),
    "mount namespace": lambda: libc.unshare(0x00020000),
    "raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close(),
    "packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3).close(),
    "bpf": lambda: libc.syscall(321 if x86 else 280, 0, text, 48),
    "perf_event_open": lambda: libc.syscall(298 if x86 else 241, text, 0, -1, -1, 0),
    "keyctl": lambda: libc.syscall(250 if x86 else 219, 0, -3, 1),
    "kexec_load": lambda: libc.syscall(246 if x86 else 104, 0, 0, None, 0),
    "init_module": lambda: libc.syscall(175 if x86 else 105, text, 10, b""),
    "userfaultfd": lambda: libc.syscall(323 if x86 else 282, 0),
    "open_by_handle_at": lambda: libc.syscall(304 if x86 else 265, -100, text, 0),
    "reboot": lambda: libc.syscall(169 if x86 else 142, 0, 0, 0, 0),
    "clock_settime": lambda: libc.syscall(227 if x86 else 112, 0, text),
    "sethostname": lambda: libc.sethostname(b"other", 5),
    "swapon": lambda: libc.syscall(167 if x86 else 224, b"/tmp/disk", 0),
    "cgroup": lambda: os.mkdir("/sys/fs/cgroup/memory/other") if os.path.isdir("/sys/fs/cgroup/memory")
        else os.mkdir("/sys/fs/cgroup/other"),
}
mine = status()
print(json.dumps({
    "user": os.getuid(),
    "capabilities": {name: int(mine.get(name) or "0", 16)
                     for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")},
    "no_new_privs": libc.prctl(39, 0, 0, 0, 0),
    "seccomp": mine.get("Seccomp"),
    "kernel": list(os.uname()),
    "namespaces": {name: os.readlink("/proc/self/ns/" + name) for name in os.listdir("/proc/self/ns")},
    "mounts": mounts(),
    "sizes": sizes(),
    "devices": devices(),
    "interfaces": [name for _, name in socket.if_nameindex()],
    "routes": open("/proc/net/route").read().count("\n") - 1,
    "kernel tables": [path for path in (
        "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/timer_list",
        "/proc/timer_stats", "/proc/scsi/scsi", "/proc/kmsg", "/sys/firmware/memmap/0/start",
    ) if read(path)],
    "settings": writable("/proc/sys"),
    "families": families(),
    "pairs": pairs(),
    "sockets": sockets(),
    "first process": open("/proc/1/cmdline").read().replace("\0", " "),
    "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
    "can": [name for name, call in calls.items() if can(call)],
    "open files": resource.getrlimit(resource.RLIMIT_NOFILE),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
}))
'''


async def look(backend: Backend, id: str) -> dict[str, Any]:  # noqa: A002 (the field's own word)
    """What a new sandbox sees of itself."""
    ref = await backend.create(SandboxSpec(id))
    try:
        channel = await Channel.open(await backend.stream(ref))
        printed = {"stdout": b"", "stderr": b""}
        async for event in channel.run(f"python3 - <<'END_OF_LOOK'\n{LOOK}\nEND_OF_LOOK", timeout=60):
            if isinstance(event, Output):
                printed[event.stream] += event.data
            else:
                assert event == Exited(0), printed["stderr"].decode()
        await channel.aclose()
    finally:
        await backend.delete(ref)
    found: dict[str, Any] = json.loads(printed["stdout"])
    return found


class SystemPython(Toolbox):
    """A toolbox with the Python of `/usr` and nothing else: readable for every user, ready at once."""

    def __init__(self, folder: Path) -> None:
        self._venv = folder / "venv"

    def ready(self) -> bool:
        return True

    def binds(self) -> list[tuple[str, str]]:
        programs = self._venv / "bin"
        if not programs.exists():
            programs.mkdir(parents=True)
            (programs / "python3").symlink_to("/usr/bin/python3")
        return [(str(self._venv), MOUNT)]

    def home_files(self) -> dict[str, Path]:
        return {}


if __name__ == "__main__":
    here = Path(sys.argv[1])
    made = BubblewrapBackend(here, SystemPython(here), eager=sys.argv[2:] == ["fork"])
    print(json.dumps(asyncio.run(look(made, "posture"))))
