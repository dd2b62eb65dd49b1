"""Compare a new sandbox with what was requested: read /proc about its first process once.

A bwrap that leaves an option out, or a kernel that does not honour it, must not pass unnoticed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from agent_kernel.errors import IsolationUnavailable
from agent_kernel.sandboxes import launch, memory_files
from agent_kernel.sandboxes.base import WORKSPACE, SandboxSpec
from agent_kernel.sandboxes.bubblewrap.cgroups import Group
from agent_kernel.sandboxes.toolbox import HOME

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
STATUS = {
    "NoNewPrivs": "1",
    "Seccomp": "2",
    **{f"Cap{name}": "0" * 16 for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")},
}
"""Lines of /proc/PID/status and what they must say: no new privileges, a filter, no capabilities."""

PLAIN = {"proc", "devpts", "mqueue"}
"""File systems of the kernel that are mounted writable."""


def verify(pid: int, spec: SandboxSpec, group: Group) -> None:
    """Raise `IsolationUnavailable` if a sandbox, by its first process, differs from its spec."""
    try:
        wrong = list(differences(Path("/proc", str(pid)), spec, group))
    except OSError as error:
        wrong = [f"it cannot be inspected ({error.strerror or error})"]
    if wrong:
        raise IsolationUnavailable(
            f"bubblewrap made a sandbox that differs from what was requested: {'; '.join(wrong)}.",
            hint="Use another bwrap, or Docker: AGENT_KERNEL_SANDBOX=docker",
        )


def differences(process: Path, spec: SandboxSpec, group: Group) -> Iterator[str]:
    """Yield what differs. `process` is the folder in /proc. Raises `OSError` if it cannot be read."""
    lines = (process / "status").read_text().splitlines()
    status = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    yield from (f"{name} is {status.get(name)}, not {want}" for name, want in STATUS.items()
                if status.get(name) != want)  # fmt: skip
    for name in NAMESPACES:
        if os.readlink(process / "ns" / name) == os.readlink(f"/proc/self/ns/{name}"):
            yield f"its {name} namespace is the host's"
    devices = [line.partition(":")[0].strip() for line in (process / "net/dev").read_text().splitlines()[2:]]
    if devices != ["lo"]:
        yield f"its network devices are {devices}"
    yield from _limits((process / "limits").read_text(), spec)
    yield from _mounts((process / "mountinfo").read_text(), spec)
    groups = (process / "cgroup").read_text().splitlines()
    for folder in set(group.folders.values()):
        if not any(line.endswith("/" + os.path.basename(folder)) for line in groups):
            yield f"it is not in the control group {folder}"


def _limits(text: str, spec: SandboxSpec) -> Iterator[str]:
    for name, want in (("Max open files", spec.open_files), ("Max core file size", 0)):
        line = next((line for line in text.splitlines() if line.startswith(name)), "")
        if line.removeprefix(name).split()[:2] != [str(want)] * 2:
            yield f"{name} is {line.removeprefix(name).split()[:2]}, not {want}"


def _mounts(text: str, spec: SandboxSpec) -> Iterator[str]:
    """Compare the writable mounts, and the sizes of those in memory."""
    sizes = memory_files.sizes(spec.memory)
    writable: dict[str, str] = {}
    for line in text.splitlines():
        first, _, second = line.partition(" - ")
        where, options = first.split()[4], first.split()[5].split(",")
        kind, _, system = second.split()[:3]
        if "ro" in options:
            writable.pop(where, None)
        elif kind not in PLAIN and (not where.startswith("/dev/") or where in sizes):
            writable[where] = system
    expected = {HOME, WORKSPACE, launch.STATE, *sizes}
    if set(writable) != expected:
        yield f"its writable mounts are {sorted(writable)}, not {sorted(expected)}"
    for where, size in sizes.items():
        pages = -(-size // os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PAGE_SIZE")
        if f"size={pages // 1024}k" not in writable.get(where, "").split(","):
            yield f"{where} has no size of {size} bytes"
