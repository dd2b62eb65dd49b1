"""Every file system in memory, filled: writes fail, and the sandbox goes on."""

from __future__ import annotations

import pytest

from agent_kernel.errors import SandboxGone
from agent_kernel.sandboxes import memory_files
from agent_kernel.sandboxes.base import LEAST_MEMORY, Backend
from tests.sandboxes.inside import started

FILL = """python3 - <<'END'
import errno, os
seen = {line.split()[1]: line.split() for line in open("/proc/mounts")}
for where, fields in sorted(seen.items()):
    if fields[2] != "tmpfs" or "ro" in fields[3].split(",") or not os.path.isdir(where): continue
    if not os.access(where, os.W_OK): continue  # an ordinary user's /dev
    if os.statvfs(where).f_blocks > 1 << 40: continue  # gVisor's /dev, which has no size
    if where in UNBOUNDED: continue
    try:
        with open(os.path.join(where, "fill"), "wb", 0) as file:
            for _ in range(512): file.write(bytes(1 << 20))
        print(where, "never full")
    except OSError as error:
        print(where, errno.errorcode[error.errno])
END"""
GROUPS = "/sys/fs/cgroup"


@pytest.fixture
async def unbounded(backend: Backend) -> str:
    """Return the place in memory without a size: Podman has one with control groups of version 1."""
    return GROUPS if f"{GROUPS} in a sandbox can be filled" in (await backend.probe()).detail else ""


async def test_filling_memory_mounts_ends_nothing(backend: Backend, unbounded: str) -> None:
    """All of them stay full at once."""
    fill = FILL.replace("UNBOUNDED", repr([unbounded]))
    async with started(backend, memory=256 << 20) as run:
        filled = dict(line.split() for line in (await run(fill)).stdout.decode().splitlines())
        run_folder = "/run/boxd" if backend.name == "kubernetes" else "/run"
        assert {"/dev/shm", "/tmp", run_folder} <= set(filled)
        assert set(filled.values()) == {"ENOSPC"}
        done = await run("echo alive; rm -f /dev/shm/fill /tmp/fill /run/fill /run/boxd/fill /dev/fill")
        assert done.stdout == b"alive\n"
        assert (await run("head -c 60M /dev/zero >/dev/shm/batch && echo shared")).stdout == b"shared\n"


async def test_places_without_size_are_read_only(backend: Backend, unbounded: str) -> None:
    async with started(backend) as run:
        places = f"/usr/local /dev {GROUPS}"
        done = await run(f"for d in {places}; do touch $d/x 2>/dev/null && rm $d/x && echo $d; done; true")
        writable = {"bubblewrap": b"", "kubernetes": b"", "docker": b"/usr/local\n/dev\n"}
        assert done.stdout == writable[backend.name] + f"{unbounded}\n".encode() * bool(unbounded)
        assert (await run("echo x >/dev/null && script -qc 'echo pty' /dev/null")).code == 0


async def test_filling_an_unbounded_place_ends_one(backend: Backend, unbounded: str) -> None:
    """Another sandbox of the same engine lives on. Where all places are bounded, both do."""
    place = unbounded or "/dev/shm"
    async with started(backend, memory=256 << 20) as other, started(backend, memory=256 << 20) as run:
        filling = run(f"head -c 600M /dev/zero >{place}/fill; echo filled")
        if unbounded:
            with pytest.raises(SandboxGone, match="ran out of memory"):
                await filling
        else:
            assert (await filling).stdout == b"filled\n"
        assert (await other("echo alive")).stdout == b"alive\n"


@pytest.mark.parametrize("memory", [LEAST_MEMORY, 256 << 20, 1 << 30, 64 << 30])
def test_sizes_stay_below_the_limit(memory: int) -> None:
    sizes = memory_files.sizes(memory)
    assert sum(sizes.values()) <= memory * 5 // 8
    assert all(size >= 8 << 20 for size in sizes.values())
    assert memory < 256 << 20 or sizes[memory_files.SHARED] >= 64 << 20
