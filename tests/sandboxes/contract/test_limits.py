"""Limits, each reached on purpose and said in words."""

from __future__ import annotations

import math
import subprocess
from contextlib import closing
from typing import Any

import docker
import pytest

from agent_kernel.errors import (
    InvalidRequest,
    LimitUnavailable,
    SandboxGone,
)
from agent_kernel.sandboxes.base import Backend, SandboxRef, SandboxSpec
from agent_kernel.sandboxes.bubblewrap.cgroups import ROOT
from agent_kernel.sandboxes.channel import Exited
from agent_kernel.sandboxes.kubernetes.manifests import object_name
from tests.conftest import Missing
from tests.sandboxes.inside import Sandbox, new_id, started
from tests.sandboxes.shared import SHARED

# On a busy machine one burst may get less than its share: there is nothing to stop then.
BURST = "for _ in 1 2 3 4; do python3 -c 'sum(range(1_000_000))' & done; wait"
BURSTS = 20
NO_GROUPS = (
    "This user cannot create control groups with a {} limit. Run the tests as root, or in a delegated "
    "group: systemd-run --user --scope --property=Delegate=yes make test"
)


async def test_out_of_memory_is_said_in_words(backend: Backend, missing: Missing) -> None:
    can = backend.capabilities()
    if not can.memory_limit:
        missing(NO_GROUPS.format("memory"))
    async with started(backend, memory=256 << 20) as run:
        ends_together = not can.survives_out_of_memory
        if backend.name == "kubernetes":  # a kubelet does that with control groups of version 2 only
            ends_together = (await run("cat /sys/fs/cgroup/memory.oom.group")).stdout == b"1\n"
        eat = run("python3 -c 'x = bytearray(1 << 30)'")
        if ends_together:
            with pytest.raises(SandboxGone, match="ran out of memory"):
                await eat
            return
        assert (await eat).outcome == Exited(137, ("out of memory: limit 256 MiB",))
        assert (await run("echo on")).stdout == b"on\n"


async def test_too_many_processes_is_said_in_words(backend: Backend, missing: Missing) -> None:
    if not backend.capabilities().process_limit:
        missing(NO_GROUPS.format("pids"))
    async with started(backend, pids=40) as run:
        code = 'import subprocess; [subprocess.Popen(["sleep", "5"]) for _ in range(80)]'
        done = await run(f"python3 -c '{code}'", timeout=20)  # bash would try again for 15 s
        assert done.outcome == Exited(1, ("too many processes: limit 40",))
        assert (await run("echo on")).stdout == b"on\n"


async def test_too_many_open_files_is_said_in_words(backend: Backend) -> None:
    assert backend.capabilities().open_files_limit
    async with started(backend, open_files=100) as run:
        done = await run("python3 -c 'files = [open(\"/dev/null\") for _ in range(200)]'")
        assert done.outcome == Exited(1, ("too many open files: limit 100",))
        assert (await run("echo on")).stdout == b"on\n"


@pytest.mark.slow_on_gvisor  # the host's control groups, as with runc
async def test_a_share_of_the_processors_is_not_exceeded(backend: Backend, missing: Missing) -> None:
    if not backend.capabilities().cpu_limit:
        missing(NO_GROUPS.format("cpu"))
    async with started(backend) as free, started(backend, cpus=0.2) as limited:
        for _ in range(BURSTS):
            for sandbox in (free, limited):
                assert (await sandbox(BURST)).outcome == Exited(0)
            assert _throttled(free.ref) == 0
            if _throttled(limited.ref):
                return
        raise AssertionError(f"{BURSTS} bursts of four processes were never throttled")


def _throttled(ref: SandboxRef) -> int:
    """Return how often the kernel has stopped this sandbox because its share of a period was used up."""
    path = max((ROOT / "cpu").rglob(f"*{_group(ref)}*"), default=None, key=lambda each: len(each.parts))
    folder = path or max(ROOT.rglob(f"*{_group(ref)}*"), key=lambda each: len(each.parts))
    stat = (folder / "cpu.stat").read_text().split()
    return int(stat[stat.index("nr_throttled") + 1])


def _group(ref: SandboxRef) -> str:
    """Return the part of the control group's name that no other sandbox has."""
    if ref.backend == "bubblewrap":
        return ref.id
    if ref.backend == "kubernetes":
        what = ["pod", object_name(ref.id), "-o", "jsonpath={.status.containerStatuses[0].containerID}"]
        said = subprocess.run(["kubectl", "get", *what], check=True, capture_output=True, text=True).stdout
        return said.rpartition("/")[2]
    with closing(docker.from_env()) as engine:
        return str(engine.containers.get(f"agent-kernel-{ref.id}").id)


@pytest.mark.slow_on_gvisor
async def test_a_disk_limit_that_cannot_be_kept_is_refused(backend: Backend, missing: Missing) -> None:
    await backend.probe()
    if backend.capabilities().disk_limit:
        missing(f"{backend.name} keeps disk limits here. Run this test on an engine without disk quotas.")
    spec = SandboxSpec(new_id(), disk=64 << 20)
    with pytest.raises(LimitUnavailable, match="disk") as caught:
        await backend.create(spec)
    assert caught.value.hint
    assert spec.id not in [ref.id for ref in await backend.list()]


@pytest.mark.slow_on_gvisor
@pytest.mark.parametrize(
    "bad",
    [
        {"memory": 0},
        {"pids": -1},
        {"cpus": 0.0},
        {"cpus": math.nan},
        {"open_files": 1},
        {"disk": 1},
        {"lease": -1.0},
        {"volume": "../up"},
    ],
    ids=str,
)
async def test_bad_limits_are_one_clear_error(backend: Backend, bad: dict[str, Any]) -> None:
    spec = SandboxSpec(new_id(), **bad)
    with pytest.raises(InvalidRequest) as caught:
        await backend.create(spec)
    assert caught.value.param == next(iter(bad))
    assert spec.id not in [ref.id for ref in await backend.list()]


@SHARED
async def test_a_full_disk_is_said_in_words(shared_run: Sandbox) -> None:
    done = await shared_run("head -c 3G /dev/zero >/tmp/full")
    assert isinstance(done.outcome, Exited)
    assert done.outcome.reached == ("no space left in /tmp",)
    assert (await shared_run("rm /tmp/full; echo on")).stdout == b"on\n"
