"""Sockets of other families than UNIX, INET, INET6 and NETLINK cannot be made, by any way into the kernel."""

from __future__ import annotations

import struct

import pytest

from agent_kernel.sandboxes.boxd.families import (
    ALLOW,
    ALLOWED,
    EAFNOSUPPORT,
    EPERM,
    KILL,
    SOCKET_CALLS,
    UNFILTERED,
    X32,
    program,
)
from agent_kernel.sandboxes.bubblewrap import seccomp
from tests.sandboxes.inside import Sandbox


def verdict(code: bytes, architecture: int, number: int, argument: int = 0) -> int:
    """What a classic BPF program returns for a call, as the kernel runs it."""
    data = {0: number, 4: architecture, 16: argument}
    words = list(struct.iter_unpack("=HBBI", code))
    place = loaded = 0
    while True:
        kind, hit, miss, value = words[place]
        if kind == 0x06:
            return int(value)
        if kind == 0x20:
            loaded, step = data[value], 0
        else:
            step = hit if (loaded == value if kind == 0x15 else loaded >= value) else miss
        place += step + 1


@pytest.mark.parametrize("architecture", SOCKET_CALLS)
def test_boxd_filter_on_every_architecture(architecture: int) -> None:
    for call in SOCKET_CALLS[architecture]:
        for family in range(-1, 64):
            expected = ALLOW if family in ALLOWED else EAFNOSUPPORT
            assert verdict(program(), architecture, call, family & 0xFFFFFFFF) == expected
    for call in (425, 426, 427, *UNFILTERED.get(architecture, ())):
        assert verdict(program(), architecture, call) == EPERM
    assert verdict(program(), architecture, 0) == ALLOW
    assert verdict(program(), 0xC000003E, X32 + 41, 1) == EPERM
    assert verdict(program(), 0x80000016, 0) == EPERM  # s390x


@pytest.mark.parametrize("machine", seccomp.ARCHITECTURES)
def test_bubblewrap_filter_on_every_machine(machine: str) -> None:
    column, architecture = seccomp.ARCHITECTURES[machine]
    code = seccomp.program(machine)
    refused = {row[column] for row in seccomp.REFUSED.values()}
    for number in range(500):
        if number in refused:
            assert verdict(code, architecture, number) == EPERM
        elif number in SOCKET_CALLS[architecture]:
            assert {
                family for family in range(64) if verdict(code, architecture, number, family) == ALLOW
            } == {*ALLOWED}
        else:
            assert verdict(code, architecture, number) == ALLOW
    assert verdict(code, 0x40000003, 102) == KILL


TRIED = """python3 - <<'END'
import ctypes, errno, os, socket
for family in (38, 40, 17, 29, 44, 1, 2, 10, 16):
    try: socket.socket(family, socket.SOCK_DGRAM).close(); print(family, "made")
    except OSError as error: print(family, errno.errorcode[error.errno])
END"""


async def test_families_are_refused_to_commands(run: Sandbox) -> None:
    lines = [line.split() for line in (await run(TRIED)).stdout.decode().splitlines()]
    assert [family for family, said in lines if said == "made"] == ["1", "2", "10", "16"]
    refused = {said for family, said in lines if family not in ("1", "2", "10", "16")}
    assert refused <= {"EAFNOSUPPORT", "EPERM"}  # EPERM: gVisor's own answer to packet sockets
