"""Containers between two uses: paused, expired and brought back, kept ready in advance."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from agent_kernel.errors import EngineUnavailable, InvalidRequest, NotFound, SandboxError, SandboxGone
from agent_kernel.runtime.containers.checkpoints import CONTAINER_LABEL, KIND_LABEL, _beyond
from agent_kernel.runtime.containers.containers import CheckpointPolicy, LocalContainers
from agent_kernel.runtime.containers.sweep import STORE_LABEL, sweep
from agent_kernel.sandboxes.base import Backend, SandboxRef, SandboxSpec
from agent_kernel.sandboxes.channel import Output
from agent_kernel.sandboxes.optional import Snapshot, snapshots_of
from agent_kernel.sandboxes.pool import OWNER_LABEL, is_waiting, process_name
from agent_kernel.store.rows import Rows
from tests.conftest import Missing

Make = Callable[..., LocalContainers]
Audited = Callable[..., list[dict[str, Any]]]


async def run(containers: LocalContainers, container: str, command: str) -> str:
    data = b""
    async with containers.use(container, to_run=True) as channel, aclosing(channel.run(command)) as events:
        async for event in events:
            if isinstance(event, Output):
                data += event.data
    return data.decode()


async def ticks(containers: LocalContainers, container: str) -> int:
    async with containers.use(container) as channel:
        return (await channel.stat("/tmp/ticks")).size


async def until(condition: Callable[[], Any], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (nothing tells of it)
            await asyncio.sleep(0.02)


async def until_async(condition: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110 (nothing tells of it)
            await asyncio.sleep(0.02)


async def expire(store: Rows, containers: LocalContainers, container: str) -> None:
    """As if an hour had passed."""
    await age(store, container)
    containers.refresh()

    async def expired() -> bool:
        return (await containers.retrieve(container)).status == "expired"

    await until_async(expired)
    async with containers._lifecycle.attachment(container).lock:  # until it has been removed, too
        pass


async def age(store: Rows, container: str) -> None:
    """Make it look as if it had been idle for an hour."""
    row = await store.container(container)
    assert row is not None
    await store.put_container(replace(row, last_active_at=row.last_active_at - 3600))


TICK = "(while :; do echo >>/tmp/ticks; sleep 0.01; done) & until [ -e /tmp/ticks ]; do sleep 0.01; done"


async def test_a_container_says_what_holds_it(make: Make, backend: Backend) -> None:
    container = await make().create({})
    extra = (container.model_extra or {})["agent_kernel"]
    image = {"image": backend.capabilities().image} if backend.name == "docker" else {}
    assert extra == {"sandbox": backend.name, "isolation": backend.capabilities().isolation, **image}
    assert all(extra.values())


# Paused


async def test_idle_it_stands_still_and_the_next_command_wakes_it(make: Make, audited: Audited) -> None:
    containers = make(pause_after=0.2)
    container = (await containers.create({})).id
    await run(containers, container, f"KEPT=1; {TICK}")
    await until(lambda: audited("pause"))
    before = await ticks(containers, container)  # a file's operation does not wake it
    await asyncio.sleep(0.3)
    assert await ticks(containers, container) == before
    assert await run(containers, container, "echo $KEPT; sleep 0.2") == "1\n"
    assert await ticks(containers, container) > before
    assert [line["event"] for line in audited("pause", "wake")][:2] == ["pause", "wake"]


async def test_in_use_it_is_not_paused(make: Make, audited: Audited) -> None:
    containers = make(pause_after=0.1)
    container = (await containers.create({})).id
    assert await run(containers, container, "sleep 0.5; echo on") == "on\n"
    async with containers.use(container):  # a model that thinks
        await asyncio.sleep(0.4)
        assert audited("pause") == []


async def test_with_zero_it_is_never_paused(make: Make, audited: Audited) -> None:
    containers = make(pause_after=0)
    container = (await containers.create({})).id
    await run(containers, container, TICK)
    before = await ticks(containers, container)
    await asyncio.sleep(0.3)
    assert await ticks(containers, container) > before
    assert audited("pause") == []


async def test_a_process_that_comes_later_wakes_what_an_earlier_one_paused(
    make: Make, audited: Audited
) -> None:
    first, second = make(pause_after=0.1), make()
    container = (await first.create({})).id
    await run(first, container, "KEPT=1")
    await until(lambda: audited("pause"))
    await first.aclose()
    assert await run(second, container, "echo $KEPT") == "1\n"


# Expired and brought back


async def test_an_expired_container_is_brought_back_with_files_and_shell(
    make: Make, backend: Backend, store: Rows, audited: Audited
) -> None:
    containers = make()
    container = (await containers.create({"name": "mine"})).id
    await run(
        containers, container, "mkdir d; cd d; echo content >file; export KEPT='two words'; f() { echo f; }"
    )
    assert not await containers.was_brought_back(container)
    await expire(store, containers, container)
    assert await backend.list({STORE_LABEL: await store.identity()}) == []
    (snapshot,) = await containers.checkpoints.all()
    assert await containers.is_alive(container)
    assert await run(containers, container, "pwd; cat file; echo $KEPT; f") == (
        "/mnt/data/d\ncontent\ntwo words\nf\n"
    )
    assert (await containers.retrieve(container)).status == "running"
    assert await containers.was_brought_back(container)
    assert not await containers.was_brought_back(container)  # told once
    await run(containers, container, "echo more >>file")
    await expire(store, containers, container)
    (newer,) = await containers.checkpoints.all()  # the older one is superseded
    assert newer.id != snapshot.id
    listed = await containers.files.list(container)
    assert [file.path for file in listed.data] == ["/mnt/data/d/file"]
    assert await run(containers, container, "cat file") == "content\nmore\n"
    await containers.delete(container)
    assert await containers.checkpoints.all() == []
    told = [line["event"] for line in audited("expire", "checkpoint", "delete", "restore")]
    assert told == [*["checkpoint", "expire", "delete", "restore"] * 2, "delete"]
    assert all(line["verified"] for line in audited("delete"))


async def test_without_a_checkpoint_it_is_expired_for_good(make: Make, store: Rows) -> None:
    containers = make(checkpoints=CheckpointPolicy(keep_expired=False))
    container = (await containers.create({})).id
    await expire(store, containers, container)
    assert not await containers.is_alive(container)
    with pytest.raises(InvalidRequest, match=r"^Container is expired\."):
        await run(containers, container, "true")
    assert (await containers.retrieve(container)).status == "expired"


async def test_a_use_while_it_expires_keeps_it(
    make: Make, backend: Backend, store: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    containers = make()
    container = (await containers.create({})).id
    await run(containers, container, "KEPT=1")
    using: list[asyncio.Task[str]] = []
    checkpoint = snapshots_of(backend).checkpoint

    async def used_meanwhile(*arguments: Any) -> Snapshot:
        snapshot = await checkpoint(*arguments)
        using.append(asyncio.create_task(run(containers, container, "echo $KEPT")))
        await asyncio.sleep(0.1)
        return snapshot

    monkeypatch.setattr(backend, "checkpoint", used_meanwhile)
    await age(store, container)
    containers.refresh()
    await until(lambda: using)
    assert await using[0] == "1\n"
    assert (await containers.retrieve(container)).status == "running"
    async with containers._lifecycle.attachment(container).lock:
        assert await containers.checkpoints.all() == []


async def test_two_that_bring_back_one_container(make: Make, store: Rows) -> None:
    first, second = make(), make()
    container = (await first.create({})).id
    await run(first, container, "echo content >file")
    await expire(store, first, container)
    done = await asyncio.gather(
        *(run(each, container, "cat file") for each in (first, first, second)), return_exceptions=True
    )
    assert done[:2].count("content\n") == 2 or done[2] == "content\n"
    for each in done:
        assert each == "content\n" or "is being brought back" in str(each)
    assert await run(second, container, "cat file") == "content\n"


async def test_an_engine_that_is_away_lets_nothing_expire_unkept(
    make: Make, backend: Backend, store: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    containers = make()
    container = (await containers.create({})).id
    await run(containers, container, "echo content >file")
    asked = asyncio.Event()

    async def away(*_: object) -> Snapshot:
        asked.set()
        raise EngineUnavailable("The engine is away.")

    with monkeypatch.context() as patch:
        patch.setattr(backend, "checkpoint", away)
        await age(store, container)
        containers.refresh()
        await asyncio.wait_for(asked.wait(), 10)
        async with containers._lifecycle.attachment(container).lock:
            assert (await containers.retrieve(container)).status == "running"
    await expire(store, containers, container)
    assert await run(containers, container, "cat file") == "content\n"


async def test_a_restore_that_fails_can_be_tried_again(
    make: Make, backend: Backend, store: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    containers = make()
    container = (await containers.create({})).id
    await run(containers, container, "echo content >file")
    await expire(store, containers, container)

    async def refuse(_: SandboxSpec) -> None:
        raise SandboxError("No space is left.")

    with monkeypatch.context() as patch:
        patch.setattr(backend, "create", refuse)
        with pytest.raises(SandboxError, match="No space"):
            await run(containers, container, "true")
    assert (await containers.retrieve(container)).status == "expired"
    assert await run(containers, container, "cat file") == "content\n"


# Explicit checkpoints


async def test_checkpoint_restore_and_fork(make: Make, audited: Audited) -> None:
    containers = make()
    container = (await containers.create({"name": "mine"})).id
    await run(containers, container, "echo one >file; X=1")
    snapshot = await containers.checkpoint(container)
    await run(containers, container, "echo two >file")
    restored = await containers.restore(snapshot.id)
    assert restored.id != container
    assert restored.name == "mine"
    assert await run(containers, restored.id, "cat file; echo $X") == "one\n1\n"
    fork = await containers.fork(container)
    await run(containers, container, "echo three >file")
    assert await run(containers, fork.id, "cat file") == "two\n"
    assert snapshot in await containers.checkpoints.all()
    assert [line["kind"] for line in audited("checkpoint")] == ["explicit", "explicit"]
    await containers.delete(container)
    assert snapshot.id in [
        each.id for each in await containers.checkpoints.all()
    ]  # made on purpose: it stays
    with pytest.raises(NotFound, match="no checkpoint 'snap_x'"):
        await containers.restore("snap_x")


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
    assert [each.id for each in _beyond(snapshots, {"known"}, policy, 1000)] == ["old", "a", "lost"]
    assert [each.id for each in _beyond(snapshots[2:], {"known"}, policy, 1000)] == ["lost"]


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
    await asyncio.wait_for(warm.channel.closed.wait(), 20)
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
