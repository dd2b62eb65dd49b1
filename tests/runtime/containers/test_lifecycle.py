"""Containers between two uses: paused, expired and brought back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent_kernel.errors import EngineUnavailable, InvalidRequest, SandboxError
from agent_kernel.runtime.containers.containers import CheckpointPolicy
from agent_kernel.runtime.containers.sweep import STORE_LABEL
from agent_kernel.sandboxes.base import Backend, SandboxSpec
from agent_kernel.sandboxes.optional import Snapshot, snapshots_of
from agent_kernel.store.rows import Rows
from tests.runtime.containers.lifecycle import TICK, Audited, Make, age, expire, run, ticks, until


async def test_a_container_says_what_holds_it(make: Make, backend: Backend) -> None:
    container = await make().create({})
    extra = dict((container.model_extra or {})["agent_kernel"])
    extra.pop("image_digest", None)  # known once a container was used
    image = {"image": backend.capabilities().image} if backend.name == "docker" else {}
    assert extra == {"sandbox": backend.name, "isolation": backend.capabilities().isolation, **image}
    assert all(extra.values())


# Paused


@pytest.mark.on_docker
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


@pytest.mark.on_docker
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
        assert each == "content\n" or "is being restored" in str(each)
    assert await run(second, container, "cat file") == "content\n"


@pytest.mark.on_docker
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
        await asyncio.wait_for(asked.wait(), 60)
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
