"""Checkpoints of containers, containers that are ready in advance, and the sweep of both."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest, NotFound, SandboxGone
from agent_kernel.runtime.containers.checkpoints import CONTAINER_LABEL, KIND_LABEL, _beyond
from agent_kernel.runtime.containers.containers import CheckpointPolicy
from agent_kernel.runtime.containers.sweep import STORE_LABEL, sweep
from agent_kernel.sandboxes.base import Backend, SandboxRef, SandboxSpec
from agent_kernel.sandboxes.optional import Snapshot
from agent_kernel.sandboxes.pool import OWNER_LABEL, is_waiting, process_name
from agent_kernel.store.rows import Rows
from tests.conftest import Missing
from tests.runtime.containers.lifecycle import Audited, Make, expire, run, until_async


async def test_checkpoint_restore_and_fork(make: Make, audited: Audited) -> None:
    containers = make()
    container = (await containers.create({"name": "mine"})).id
    await run(containers, container, "echo one >file; X=1")
    snapshot = await containers.checkpoint(container)
    await run(containers, container, "echo two >file")
    restored = await containers.begin_from(snapshot)
    assert restored.id != container
    assert restored.name == "mine"
    assert await run(containers, restored.id, "cat file; echo $X") == "one\n1\n"
    fork = await containers.fork(container)
    await run(containers, container, "echo three >file")
    assert await run(containers, fork.id, "cat file") == "two\n"
    assert snapshot in await containers.checkpoints.all()
    assert [line["kind"] for line in audited("checkpoint")] == ["explicit", "automatic"]
    await containers.delete(container)
    assert snapshot.id in [
        each.id for each in await containers.checkpoints.all()
    ]  # made on purpose: it stays
    with pytest.raises(NotFound, match="no snapshot 'snap_x'"):
        await containers.fork(container, snapshot_id="snap_x")
    copy = await containers.fork(container, snapshot_id=snapshot.id)  # its container may be gone
    assert await run(containers, copy.id, "cat file") == "one\n"


def test_what_a_policy_keeps() -> None:
    def kept(name: str, age: float, size: int, container: str = "known") -> Snapshot:
        return Snapshot(name, "x", 1000 - age, size, {CONTAINER_LABEL: container, KIND_LABEL: "expired"})

    snapshots = [
        kept("old", 200, 1),
        kept("a", 90, 40),
        kept("b", 80, 40),
        kept("lost", 70, 9, "gone"),
        kept("c", 60, 40),
    ]
    policy = CheckpointPolicy(total_size=100, max_age=100)
    assert [*_beyond(snapshots, {"known"}, policy, 1000)] == ["old", "a", "lost"]
    assert [*_beyond(snapshots[2:], {"known"}, policy, 1000)] == ["lost"]


async def test_pruning_keeps_to_the_size_and_spares_explicit_ones(make: Make, store: Rows) -> None:
    containers = make(checkpoints=CheckpointPolicy(total_size=0))
    container = (await containers.create({})).id
    await run(containers, container, "head -c 100000 /dev/urandom >file")
    explicit = await containers.checkpoint(container)
    await expire(store, containers, container)

    async def pruned() -> bool:
        return [each.id for each in await containers.checkpoints.all()] == [explicit.id]

    await until_async(pruned)
    with pytest.raises(InvalidRequest, match="expired"):
        await run(containers, container, "true")


# Kept ready


async def test_a_warm_container_is_handed_out_once(make: Make, backend: Backend, store: Rows) -> None:
    containers = make(warm=2)
    label = {STORE_LABEL: await store.identity()}
    await containers._lifecycle.engine()
    pool = containers._lifecycle._pool
    assert pool is not None
    await pool.filled()
    waiting = {ref.id for ref in await backend.list(label)}
    assert len(waiting) == pool.ready == 2
    first = (await containers.create({})).id
    assert first in waiting  # it was not started now
    await run(containers, first, "echo used >file; X=1")
    await pool.filled()
    others = [(await containers.create({})).id for _ in range(2)]
    assert len({first, *others}) == 3
    for other in others:
        assert await run(containers, other, "ls; echo $X") == "\n"
    await containers.delete(first)
    await pool.filled()
    assert first not in {ref.id for ref in await backend.list(label)}
    await containers.aclose()
    assert {ref.id for ref in await backend.list(label)} == set(others)


async def test_a_warm_one_that_died_is_not_handed_out(make: Make, backend: Backend) -> None:
    containers = make(warm=1)
    await containers._lifecycle.engine()
    pool = containers._lifecycle._pool
    assert pool is not None
    await pool.filled()
    (warm,) = pool._ready
    await backend.delete(warm.ref)
    await asyncio.wait_for(warm.channel.closed.wait(), 60)
    container = (await containers.create({})).id
    assert container != warm.ref.id
    assert await run(containers, container, "echo on") == "on\n"


async def test_what_is_asked_for_otherwise_is_made_anew(
    make: Make, backend: Backend, missing: Missing
) -> None:
    if not backend.capabilities().memory_limit:
        missing(f"{backend.name} cannot limit memory here, so all its sandboxes are alike.")
    containers = make(warm=1)
    await containers._lifecycle.engine()
    pool = containers._lifecycle._pool
    assert pool is not None
    await pool.filled()
    (warm,) = pool._ready
    assert (await containers.create({"memory_limit": "4g"})).id != warm.ref.id
    assert (await containers.create({"memory_limit": "1g"})).id == warm.ref.id


async def test_a_sweep_leaves_the_pool_of_a_living_process_alone(
    make: Make, backend: Backend, store: Rows
) -> None:
    label = {STORE_LABEL: await store.identity()}
    names = {"living": process_name(), "dead": "1.1"}
    for name, owner in names.items():
        await backend.create(SandboxSpec(f"pool-{name}", labels={**label, OWNER_LABEL: owner}))
    assert is_waiting({OWNER_LABEL: process_name()})
    assert not is_waiting({OWNER_LABEL: "1.1"})
    assert not is_waiting({})
    await make()._lifecycle.engine()
    assert [ref.id for ref in await backend.list(label)] == ["pool-living"]
    await backend.delete(await backend.get("pool-living"))


async def test_a_sweep_leaves_alone_what_comes_to_life_while_it_looks(
    make: Make, backend: Backend, store: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    containers, listed = make(), backend.list
    made = []

    async def slow_list(labels: Any = None) -> list[SandboxRef]:
        refs = await listed(labels)
        made.append((await containers.create({})).id)  # by another process, say
        unready = await containers.create({})
        refs.append(SandboxRef(unready.id, backend.name, "dead", labels))
        made.append(unready.id)
        return refs

    await containers.delete((await containers.create({})).id)  # its own sweep is over
    monkeypatch.setattr(backend, "list", slow_list)
    await sweep(backend, store)
    assert len(made) == 2
    for container in made:
        assert (await containers.retrieve(container)).status == "running"
        assert await run(containers, container, "echo on") == "on\n"


async def test_what_was_ended_from_outside_is_told_and_removed(
    make: Make, backend: Backend, audited: Audited
) -> None:
    containers = make()
    container = (await containers.create({})).id
    await backend.delete(await backend.get(container))
    with pytest.raises(SandboxGone):
        await run(containers, container, "true")
    assert [line["container"] for line in audited("dead")] == [container]
