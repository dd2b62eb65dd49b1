"""The filter for socket families: only UNIX, INET, INET6 and NETLINK sockets can be made in a sandbox.

The kernel has dozens of other families (VSOCK reaches the hypervisor; others are rich in bugs), and engines'
default filters allow most of them. The same tests, as a classic BPF program, are part of bubblewrap's
filter; under an engine boxd loads them itself, in addition to the engine's filter, and every command inherits
them. Sources: linux/seccomp.h, linux/filter.h, linux/audit.h, and the kernel's tables of calls.
"""

from __future__ import annotations

import os
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Word = tuple[int, int, int, int]

ALLOWED = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK."""

SOCKET_CALLS = {0xC000003E: (41, 53), 0xC00000B7: (198, 199), 0x40000003: (359, 360), 0x40000028: (281, 288)}
"""By AUDIT_ARCH (x86_64, aarch64, and their 32-bit forms): the numbers of `socket` and `socketpair`."""

UNFILTERED = {0x40000003: (102,)}
"""By AUDIT_ARCH: `socketcall`, which passes the family in memory, where no filter can read it."""

IO_URING = (425, 426, 427)
"""Makes sockets without a system call for each. The numbers are the same on all machines."""

X32 = 0x40000000
"""Numbers from here on belong to the x32 interface of x86_64, a second way to make the same calls."""

LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, KILL, EPERM, EAFNOSUPPORT = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050061
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
"""Offsets in struct seccomp_data, on little-endian machines."""

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2


def tests(architecture: int, refused: Iterable[int]) -> list[Word]:
    """Return the words that test a call of one architecture: `refused` calls, then families. They all end."""
    questions = [(AT_LEAST, X32)] if architecture == 0xC000003E else []
    questions += [(EQUAL, number) for number in refused]
    sockets = [(EQUAL, number) for number in SOCKET_CALLS[architecture]]
    families = [(EQUAL, family) for family in ALLOWED]
    first, second, third = len(questions), len(sockets), len(families)
    return [
        (LOAD, 0, 0, NUMBER),
        # Each hit jumps over the tests after it, and over the words in between.
        *((code, first - i + second + third + 3, 0, value) for i, (code, value) in enumerate(questions)),
        *((code, second - i, 0, value) for i, (code, value) in enumerate(sockets)),
        (RETURN, 0, 0, ALLOW),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        *((code, third - i, 0, value) for i, (code, value) in enumerate(families)),
        (RETURN, 0, 0, EAFNOSUPPORT),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, EPERM),
    ]


def packed(words: Iterable[Word]) -> bytes:
    """Return words as an array of struct sock_filter."""
    return b"".join(struct.pack("=HBBI", *word) for word in words)


def by_architecture(tests: dict[int, list[Word]]) -> bytes:
    """Return a filter of the words for each AUDIT_ARCH. Calls of other architectures are refused."""
    words: list[Word] = [(LOAD, 0, 0, ARCHITECTURE)]
    for architecture, body in tests.items():
        words += [(EQUAL, 0, len(body), architecture), *body]
    return packed([*words, (RETURN, 0, 0, EPERM)])


def program() -> bytes:
    """Return the filter that boxd loads, for every architecture in `SOCKET_CALLS`."""
    refused = {each: (*IO_URING, *UNFILTERED.get(each, ())) for each in SOCKET_CALLS}
    return by_architecture({each: tests(each, calls) for each, calls in refused.items()})


def load(code: bytes) -> None:
    """Load a filter, for this process and all its children. Ends the process if that is impossible."""
    try:
        import ctypes
    except ImportError:
        sys.exit("its Python has no ctypes, which is needed to refuse socket families")
    words = ctypes.create_string_buffer(code, len(code))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(code) // 8, ctypes.addressof(words)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        _PR_SET_SECCOMP, _MODE_FILTER, header, 0, 0
    ):
        sys.exit(f"its kernel refuses a system call filter ({os.strerror(ctypes.get_errno())})")
