"""Opens the ports below 1024 in a sandbox's own network namespace, from the host, before it runs anything.

The setting is part of the namespace. Inside, nothing may change it: the sandbox has no capability, and the
user namespace that owns the setting is not the one its processes are in.
"""

from __future__ import annotations

import subprocess
import sys

from agent_kernel.errors import SandboxStartFailed

_SECONDS = 10.0

_PROGRAM = """\
import ctypes, fcntl, os, sys
libc = ctypes.CDLL(None, use_errno=True)
network = os.open("/proc/%s/ns/net" % sys.argv[1], os.O_RDONLY)
owner = fcntl.ioctl(network, 0xB701)
for namespace, kind in ((owner, 0x10000000), (network, 0x40000000)):
    if os.path.sameopenfile(namespace, os.open("/proc/self/ns/user", os.O_RDONLY)):
        continue
    if libc.setns(namespace, kind):
        sys.exit(os.strerror(ctypes.get_errno()))
with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", "w") as file:
    file.write("0")
"""
"""Enters the namespaces. It is a process, because one with threads cannot enter a user namespace."""


def open_low_ports(pid: int) -> None:
    """Let the sandbox of process `pid` listen on every port (blocking). Raises `SandboxStartFailed`."""
    argv = [sys.executable, "-I", "-S", "-c", _PROGRAM, str(pid)]
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, env={}, timeout=_SECONDS, check=False, cwd="/"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SandboxStartFailed(f"The sandbox's ports could not be opened: {error}.") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise SandboxStartFailed(
            f"The sandbox's ports could not be opened: {lines[-1][:300]}.",
            hint="Use Docker for sandboxes with a network: AGENT_KERNEL_SANDBOX=docker",
        )
