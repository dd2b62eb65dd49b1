"""The system call filter of a sandbox: a classic BPF program, as `bwrap --seccomp` takes it.

It refuses what a container engine's default profile also refuses: calls that affect the kernel as a
whole (modules, keys, clocks, mounts) or widen its attack surface (bpf, io_uring, userfaultfd). They fail with
EPERM, as if a privilege were missing. Sockets of other families than UNIX, INET, INET6 and NETLINK are
refused as if the kernel lacked them. Sources: linux/seccomp.h, linux/filter.h, asm/unistd.h.
"""

from __future__ import annotations

import platform

from agent_kernel.errors import EngineUnavailable
from agent_kernel.sandboxes.boxd import families

REFUSED: dict[str, tuple[int, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "migrate_pages": (256, 238),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "name_to_handle_at": (303, 264),
    "nfsservctl": (180, 42),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}
"""Call numbers on x86_64 and on aarch64; None if the call does not exist there."""

ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Column of `REFUSED`, and the AUDIT_ARCH constant."""


def program(machine: str | None = None) -> bytes:
    """Return the filter for this machine (`platform.machine()`), as an array of struct sock_filter.

    Raises `EngineUnavailable` for a machine with unknown call numbers, rather than run without a filter.
    """
    machine = machine or platform.machine()
    if machine not in ARCHITECTURES:
        raise EngineUnavailable(
            f"There is no system call filter for {machine} machines, so no bubblewrap sandbox.",
            hint="Use Docker: AGENT_KERNEL_SANDBOX=docker",
        )
    column, constant = ARCHITECTURES[machine]
    numbers = sorted(number for row in REFUSED.values() if (number := row[column]) is not None)
    return families.packed(
        [
            (families.LOAD, 0, 0, families.ARCHITECTURE),
            (families.EQUAL, 1, 0, constant),
            (families.RETURN, 0, 0, families.KILL),
            *families.tests(constant, numbers),
        ]
    )
