"""The filter for namespaces and keyrings, run word by word on every architecture."""

from __future__ import annotations

import struct

import pytest

from agent_kernel.sandboxes.boxd.families import ALLOW, EPERM
from agent_kernel.sandboxes.boxd.namespaces import CALLS, CLONE3, ENOSYS, program

READ, WRITE = 0, 1
SIGCHLD, THREAD, NEWUSER, NEWNET, NEWNS = 17, 0x003D0F00, 0x10000000, 0x40000000, 0x00020000


def verdict(architecture: int, call: int, argument: int = 0) -> int:
    """What the kernel would make of a call."""
    words = list(struct.iter_unpack("=HBBI", program()))
    values = {0: call, 4: architecture, 16: argument}
    place = held = 0
    while True:
        code, hit, miss, value = words[place]
        place += 1
        if code == 0x20:
            held = values[value]
        elif code == 0x15:
            place += hit if held == value else miss
        elif code == 0x45:
            place += hit if held & value else miss
        else:
            assert code == 0x06
            return int(value)


@pytest.mark.parametrize("architecture", CALLS, ids=hex)
def test_namespaces_are_refused_and_threads_are_not(architecture: int) -> None:
    clone, refused = CALLS[architecture]
    for call in refused:
        assert verdict(architecture, call) == EPERM
    for flags in (NEWUSER, NEWUSER | SIGCHLD, NEWNET, NEWNS | SIGCHLD, 0x7E020000):
        assert verdict(architecture, clone, flags) == EPERM
    for flags in (SIGCHLD, THREAD, 0):
        assert verdict(architecture, clone, flags) == ALLOW
    assert verdict(architecture, CLONE3) == ENOSYS
    others = {READ, WRITE, *range(clone - 9, clone + 9), CLONE3 - 1, CLONE3 + 1} - {clone, *refused}
    assert {verdict(architecture, call) for call in others} == {ALLOW}


def test_other_architectures_are_refused() -> None:
    assert verdict(0x80000016, READ) == EPERM  # s390x
