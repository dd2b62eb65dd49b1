"""What is inside a sandbox, and what is not."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from tests.sandboxes.inside import Sandbox
from tests.sandboxes.shared import SHARED, shared_run

pytestmark = SHARED
run = shared_run


@pytest.mark.slow_on_gvisor
async def test_the_toolbox_is_there(run: Sandbox) -> None:
    code = "import numpy, pandas, matplotlib.pyplot as p; p.plot([1]); p.savefig('x.png')"
    done = await run(f'python3 -W error -c "{code}"')
    assert (done.code, done.stderr) == (0, b"")


@pytest.mark.slow_on_gvisor
async def test_a_workbook_can_be_read_and_written(run: Sandbox) -> None:
    table = "import pandas; pandas.DataFrame({'a': [40, 2]}).to_excel('x.xlsx')"
    code = f"{table}; print(pandas.read_excel('x.xlsx').a.sum())"
    done = await run(f'python3 -c "{code}"')
    assert (done.code, done.stdout) == (0, b"42\n")


async def test_there_is_no_network(run: Sandbox) -> None:
    code = "import socket; print([name for _, name in socket.if_nameindex()])"
    assert (await run(f'python3 -c "{code}"')).stdout == b"['lo']\n"
    assert len((await run("cat /proc/net/route")).stdout.splitlines()) <= 1  # a heading and no route
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert (await run(f"exec 3<>/dev/tcp/127.0.0.1/{port}")).code == 1


async def test_privileges_cannot_grow(run: Sandbox) -> None:
    done = await run("grep ^CapEff /proc/self/status; mount -t tmpfs none /mnt; echo $?")
    lines = done.stdout.decode().split("\n")
    asked = "import ctypes; print(ctypes.CDLL(None).prctl(39, 0, 0, 0, 0))"  # PR_GET_NO_NEW_PRIVS
    assert (await run(f'python3 -c "{asked}"')).stdout == b"1\n"
    effective = int(next(line for line in lines if line.startswith("CapEff")).split()[1], 16)
    for dangerous in (
        12,
        16,
        17,
        19,
        21,
        23,
        24,
        25,
        27,
    ):
        assert not effective & (1 << dangerous)
    assert lines[-2] != "0"


async def test_the_kernel_of_the_host_cannot_be_set(run: Sandbox) -> None:
    settings = (
        "/proc/sys/kernel/core_pattern /proc/sys/vm/drop_caches /proc/sys/kernel/panic /proc/sysrq-trigger"
    )
    done = await run(f"for each in {settings}; do : 2>/dev/null >>$each && echo $each; done")
    assert done.stdout == b""


async def test_device_nodes_of_the_host_keep_their_modes(run: Sandbox) -> None:
    nodes = [Path("/dev", name) for name in ("full", "random", "tty", "urandom", "zero")]
    before = [(node.stat().st_mode, node.stat().st_uid) for node in nodes]
    try:
        await run("cd /dev; chmod 600 full random tty urandom zero; chown 3 full zero")
        assert [(node.stat().st_mode, node.stat().st_uid) for node in nodes] == before
    finally:
        for node, (mode, _) in zip(nodes, before, strict=True):
            if node.stat().st_mode != mode:
                node.chmod(stat.S_IMODE(mode))


async def test_a_command_cannot_trace_stop_or_rewrite_boxd(run: Sandbox) -> None:
    """Or a boxd that stands still would outlive its lease."""
    attach = "import ctypes; print(ctypes.CDLL(None).ptrace(16, 1, 0, 0))"
    assert (await run(f'python3 -c "{attach}"')).stdout == b"-1\n"
    assert (await run(": 2>/dev/null >>/proc/1/mem; echo $?")).stdout == b"1\n"
    if run.backend.capabilities().isolation != "runsc":  # gVisor does not spare process 1: docs/isolation.md
        await run("kill -STOP 1")
    assert (await run("echo on")).stdout == b"on\n"
