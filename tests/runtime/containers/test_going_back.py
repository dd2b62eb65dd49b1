"""What happens beside going back to a snapshot: failures, other processes, deletion, expiry, limits."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import (
    CapabilityMissing,
    LimitReached,
    NotFound,
    SandboxBusy,
    SandboxError,
    SandboxStartFailed,
    SandboxUnreachable,
)
from agent_kernel.keys import KeyLimits
from agent_kernel.runtime.access.quota import Quota
from agent_kernel.runtime.containers.checkpoints import CONTAINER_LABEL, KIND_LABEL, _beyond
from agent_kernel.runtime.containers.containers import CheckpointPolicy, LocalContainers
from agent_kernel.runtime.containers.sweep import STORE_LABEL, sweep
from agent_kernel.sandboxes.base import Backend, SandboxRef
from agent_kernel.sandboxes.optional import Snapshot
from agent_kernel.store.rows import Rows
from tests.runtime.containers.lifecycle import TICK, Audited, Make, expire, run, ticks, until, until_async

_BUBBLEWRAP = pytest.param("bubblewrap", marks=pytest.mark.bubblewrap)
BUBBLEWRAP = pytest.mark.parametrize("backend", [_BUBBLEWRAP], indirect=True)
ON_THE_HOST = pytest.mark.parametrize(
    "backend", [_BUBBLEWRAP, pytest.param("docker", marks=pytest.mark.docker)], indirect=True
)
"""The backends whose processes the host can tell apart; gVisor's are its own."""

STATE = "cat file; echo $X"


async def sandboxes(backend: Backend, store: Rows) -> list[str]:
    return [ref.id for ref in await backend.list({STORE_LABEL: await store.identity()})]


async def made_with_one(containers: LocalContainers) -> tuple[str, str]:
    """Return a container and its snapshot with `one` in everything; it has gone on to `two`."""
    made = (await containers.create({})).id
    await run(containers, made, "echo one >file; X=one")
    snapshot = await containers.snapshot(made, automatic=True)
    await run(containers, made, "echo two >file; X=two")
    return made, snapshot.id


async def not_in_place(*_: object) -> bool:
    """Stand for `put_back` where a container needs a new sandbox to go back."""
    return False


class Held:
    """A backend whose next sandbox is not made before it may be. Nothing goes back in place."""

    def __init__(self, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(backend, "put_back", not_in_place, raising=False)
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()
        create = backend.create

        async def slow(spec: Any) -> SandboxRef:
            self.begun.set()
            await self.go_on.wait()
            return await create(spec)

        monkeypatch.setattr(backend, "create", slow)


async def test_a_failed_start_leaves_everything_as_it_was(
    make: Make, backend: Backend, store: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    containers = make()
    made, snapshot = await made_with_one(containers)
    await run(containers, made, TICK)
    before = await sandboxes(backend, store)

    async def fails(spec: Any) -> SandboxRef:
        raise SandboxStartFailed("no room")

    with monkeypatch.context() as patch:
        patch.setattr(backend, "create", fails)
        patch.setattr(backend, "put_back", not_in_place, raising=False)
        with pytest.raises(SandboxStartFailed):
            await containers.restore(made, snapshot)
    held = Held(backend, monkeypatch)
    restoring = asyncio.create_task(containers.restore(made, snapshot))
    await held.begun.wait()
    restoring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await restoring
    assert await sandboxes(backend, store) == before
    assert await run(containers, made, STATE) == "two\ntwo\n"
    first = await ticks(containers, made)

    async def ticking() -> bool:
        return await ticks(containers, made) > first

    await until_async(ticking)  # its processes go on
    held.go_on.set()
    await containers.restore(made, snapshot)
    assert await run(containers, made, STATE) == "one\none\n"


async def test_other_processes(make: Make, backend: Backend, store: Rows) -> None:
    """They use the same store and engine: what runs there is not cut off, and they go on in the new one."""
    containers, elsewhere = make(), make()
    made, snapshot = await made_with_one(containers)
    async with elsewhere.use(made, to_run=True) as channel:
        running = channel.run("echo begun; read -t 1000 <> <(:)")
        await anext(running)
        with pytest.raises(SandboxBusy, match="turn or a command"):
            await containers.restore(made, snapshot)
        with pytest.raises(SandboxBusy, match="turn or a command"):
            await containers.fork(made)
        await running.aclose()
    assert await run(elsewhere, made, STATE) == "two\ntwo\n"
    await containers.restore(made, snapshot)
    await sweep(backend, store)
    assert await run(elsewhere, made, STATE) == "one\none\n"
    await run(elsewhere, made, "echo three >file; X=three")
    other = (await elsewhere.snapshot(made)).id
    both = await asyncio.gather(
        containers.restore(made, snapshot), elsewhere.restore(made, other), return_exceptions=True
    )
    failed = [each for each in both if isinstance(each, BaseException)]
    assert len(failed) < 2
    assert all(isinstance(each, SandboxError) for each in failed)
    assert await run(containers, made, STATE) in ("one\none\n", "three\nthree\n")
    assert len(await sandboxes(backend, store)) == 1


async def test_restores_follow_each_other(make: Make, backend: Backend, store: Rows) -> None:
    containers = make()
    made, first = await made_with_one(containers)
    second = (await containers.snapshot(made)).id
    await asyncio.gather(
        containers.restore(made, first), containers.snapshot(made), containers.restore(made, second)
    )
    assert await run(containers, made, STATE) in ("one\none\n", "two\ntwo\n")
    assert len(await sandboxes(backend, store)) == 1
    assert len(await containers.snapshots(made)) == 3


async def test_deleted_beside_it(
    make: Make, backend: Backend, store: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    containers = make()
    made, snapshot = await made_with_one(containers)
    held = Held(backend, monkeypatch)
    restoring = asyncio.create_task(containers.restore(made, snapshot))
    await held.begun.wait()
    assert made in await sandboxes(backend, store)
    await sweep(backend, store)
    deleting = asyncio.create_task(containers.delete(made))
    await deleting
    held.go_on.set()
    with pytest.raises((NotFound, SandboxError)):
        await restoring
    assert await sandboxes(backend, store) == []
    assert await containers.checkpoints.all() == []


async def test_a_sweep_leaves_alone_what_is_being_made(
    make: Make, backend: Backend, store: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    containers = make()
    made, snapshot = await made_with_one(containers)
    swap = store.replace_sandbox

    async def swept_before(*given: Any) -> bool:
        await sweep(backend, store)
        return await swap(*given)

    monkeypatch.setattr(store, "replace_sandbox", swept_before)
    await containers.restore(made, snapshot)
    assert await run(containers, made, STATE) == "one\none\n"


async def test_what_has_ended_comes_back(make: Make, backend: Backend, store: Rows) -> None:
    containers = make()
    made, snapshot = await made_with_one(containers)
    await expire(store, containers, made)
    back = await containers.restore(made, snapshot)
    assert back.container.status == "running"
    assert await run(containers, made, STATE) == "one\none\n"
    (sandbox,) = await sandboxes(backend, store)
    await backend.delete(await backend.get(sandbox))  # nothing of it is kept
    await containers.restore(made, snapshot)
    assert await run(containers, made, STATE) == "one\none\n"
    row = await store.container(made)
    assert row is not None
    assert await store.end_container(made, "dead")
    await backend.delete(SandboxRef(row.sandbox_id, backend.name, "dead"))
    assert (await containers.restore(made, snapshot)).container.status == "running"
    assert await run(containers, made, STATE) == "one\none\n"


@BUBBLEWRAP
async def test_what_was_open_is_told(make: Make) -> None:
    containers = make()
    made, snapshot = await made_with_one(containers)

    async def in_terminal() -> None:
        async with containers.terminal(made, 24, 80) as terminal:
            while True:
                await terminal.read()

    async def reading() -> None:
        async with containers.use(made) as channel:
            async for _ in channel.get("/mnt/data/large"):
                begun.set()
                await asyncio.Event().wait() if held.is_set() else None

    begun, held = asyncio.Event(), asyncio.Event()
    await run(containers, made, "head -c 50000000 /dev/zero >large")
    open_ones = [asyncio.create_task(in_terminal()), asyncio.create_task(reading())]
    await begun.wait()
    await containers.restore(made, snapshot)
    failures = await asyncio.gather(*open_ones, return_exceptions=True)
    for failure in failures:
        if failure is not None:
            assert isinstance(failure, SandboxUnreachable), failure
            assert "went back to an earlier state" in str(failure)
    assert failures[0] is not None


@BUBBLEWRAP
async def test_a_broken_sandbox_can_go_back(make: Make) -> None:
    containers = make()
    made, snapshot = await made_with_one(containers)
    await run(containers, made, "sleep 27182818 &")
    for pid in inside(namespace_of("27182818")):
        if is_first(pid):
            os.kill(pid, signal.SIGSTOP)  # boxd answers nobody any more
    await containers.restore(made, snapshot)
    assert await run(containers, made, STATE) == "one\none\n"


def namespace_of(marker: str) -> str:
    """The pid namespace of the process with this text in its command line."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if marker.encode() in path.read_bytes() and path.parent.name != str(os.getpid()):
                return os.readlink(path.parent / "ns" / "pid")
    return ""


def is_first(pid: int) -> bool:
    """Whether it is process 1 of its namespace."""
    status = Path(f"/proc/{pid}/status").read_text()
    return re.search(r"NSpid:.*\t1\n", status) is not None


def inside(namespace: str) -> list[int]:
    """All processes of this machine in a pid namespace."""
    found = []
    for path in Path("/proc").glob("[0-9]*/ns/pid"):
        with suppress(OSError):
            if os.readlink(path) == namespace:
                found.append(int(path.parts[2]))
    return found


@ON_THE_HOST
async def test_an_idle_container_costs_no_process(make: Make, store: Rows, backend: Backend) -> None:
    """Once expired, nothing of it runs on the host; the next use has its state back."""
    containers = make()
    made, snapshot = await made_with_one(containers)
    await containers.restore(made, snapshot)
    await run(containers, made, "cd /; sleep 31415926 &")
    await until(lambda: namespace_of("31415926"))  # the shell goes on before its child runs the program
    namespace = namespace_of("31415926")
    assert len(inside(namespace)) >= 3, "boxd, the shell and the sleeper"
    await expire(store, containers, made)
    await until(lambda: inside(namespace) == [])  # the kernel ends them after their first process
    assert namespace_of("31415926") == ""
    assert await sandboxes(backend, store) == []
    assert await run(containers, made, "cat /mnt/data/file; echo $X; pwd") == "one\none\n/\n"


# Limits


@BUBBLEWRAP
async def test_limits_of_a_key(make: Make, store: Rows) -> None:
    operators = make()
    limits = KeyLimits(stored_bytes=300_000, containers=1)
    containers = LocalContainers(operators._lifecycle, store.of("alice"), Quota(limits))
    made = (await containers.create({})).id
    await run(containers, made, "head -c 200000 /dev/urandom >file")
    first = await containers.snapshot(made)
    for automatic in (False, True):
        await run(containers, made, "head -c 400000 /dev/urandom >file")
        with pytest.raises((LimitReached, SandboxError), match=r"300000|may take"):
            await containers.snapshot(made, automatic=automatic)
    with pytest.raises(LimitReached, match="one container"):
        await containers.fork(made, snapshot_id=first.id)
    assert await containers.snapshots(made) == [first]
    await expire(store, operators, made)
    other = (await containers.create({})).id
    with pytest.raises(LimitReached, match="one container"):
        await containers.restore(made, first.id)
    assert (await containers.retrieve(made)).status == "expired"
    await containers.delete(other)
    await containers.restore(made, first.id)
    assert await run(containers, made, "wc -c <file") == "200000\n"


def test_automatic_ones_are_pruned_first() -> None:
    def kept(name: str, age: float, kind: str, **layers: int) -> Snapshot:
        return Snapshot(name, "x", 1000 - age, 40, {CONTAINER_LABEL: "known", KIND_LABEL: kind}, layers)

    snapshots = [
        kept("expired", 90, "expired"),
        kept("a", 80, "automatic", x=30),
        kept("b", 70, "automatic", x=30, y=10),
        kept("c", 60, "automatic", x=30, z=20),
    ]
    policy = CheckpointPolicy(total_size=90, max_age=100)
    assert [*_beyond(snapshots, {"known"}, policy, 1000)] == ["b"]
    policy = CheckpointPolicy(total_size=90, max_age=75)
    assert [*_beyond(snapshots, {"known"}, policy, 1000)] == ["a", "expired"]


@BUBBLEWRAP
async def test_automatic_ones_stay_within_the_total_size(make: Make, audited: Audited) -> None:
    containers = make(checkpoints=CheckpointPolicy(total_size=1_000_000))
    made = (await containers.create({})).id
    explicit = await containers.snapshot(made)
    for _ in range(6):
        await run(containers, made, "head -c 400000 /dev/urandom >file")
        await containers.snapshot(made, automatic=True)
    left = [each for each in await containers.snapshots(made) if each.automatic]
    assert 1 <= len(left) <= 2
    assert explicit in await containers.snapshots(made)
    assert any(re.search("storage limit", str(line["reason"])) for line in audited("prune"))


@BUBBLEWRAP
async def test_a_volume_does_not_go_back(make: Make) -> None:
    from agent_kernel.runtime.containers.resources import Allowed

    containers = make(allowed=Allowed(volumes=True))
    made = (await containers.create({"agent_kernel": {"volume": "notes"}})).id
    await run(containers, made, "echo one >file")
    snapshot = await containers.snapshot(made)
    with pytest.raises(CapabilityMissing, match="is the volume 'notes'"):
        await containers.restore(made, snapshot.id)
    copy = await containers.fork(made, snapshot_id=snapshot.id)
    assert await run(containers, copy.id, "cat file") == "one\n"
