"""Containers that were ended from outside: their files are kept as at expiry."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any

import pytest

from agent_kernel.errors import EngineUnavailable, NotFound, SandboxError, SandboxGone, SandboxUnreachable
from agent_kernel.runtime.containers import sweep as sweeping
from agent_kernel.runtime.containers.checkpoints import lost_shell
from agent_kernel.runtime.containers.containers import CheckpointPolicy, LocalContainers
from agent_kernel.runtime.containers.resources import Allowed
from agent_kernel.sandboxes.base import Backend, SandboxRef
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.bubblewrap.folder import find_process
from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.sandboxes.optional import Snapshot, snapshots_of, volumes_of
from agent_kernel.store.rows import Rows
from tests.conftest import BUBBLEWRAP, without_gvisor
from tests.runtime.containers.lifecycle import Audited, Make, expire, run, until_async
from tests.sandboxes.inside import new_id

WORK = "X=1; mkdir -p d; cd d; echo content >file; chmod 640 file; sleep 300 & echo made"
LOOK = "pwd; cat d/file; stat -c %a d/file; echo ${X-unset}; pgrep -c sleep"
FOUND = "/mnt/data\ncontent\n640\nunset\n0\n"

on_bubblewrap = pytest.mark.parametrize("backend", [BUBBLEWRAP], indirect=True)


Die = Callable[[Backend, str], Awaitable[None]]


async def by_engine(backend: Backend, container: str) -> None:
    """As the engine's `kill` does it."""
    if isinstance(backend, DockerBackend):
        api = await backend._engine.api()
        await asyncio.to_thread(api.kill, f"agent-kernel-{container}", "SIGKILL")
    else:
        assert isinstance(backend, BubblewrapBackend)
        found = find_process(backend._folder(container))
        assert found is not None
        await asyncio.to_thread(found.end)


async def by_pid(backend: Backend, container: str) -> None:
    """As `kill -9` on the host does it to process 1 of the sandbox."""
    if isinstance(backend, DockerBackend):
        found = await backend._engine.inspect(f"agent-kernel-{container}")
        assert found is not None
        os.kill(found["State"]["Pid"], signal.SIGKILL)
    else:
        os.kill(_process_1(backend, container), signal.SIGKILL)


def _process_1(backend: Backend, container: str) -> int:
    assert isinstance(backend, BubblewrapBackend)
    return int(json.loads((backend._folder(container) / "process.json").read_text())["pid"])


async def dies(containers: LocalContainers, backend: Backend, container: str, die: Die = by_pid) -> None:
    """Let a sandbox die, and wait until its backend and its host have noticed."""
    channel = await containers.channel(container)
    await die(backend, container)

    async def noticed() -> bool:
        return (await backend.get(container)).status == "dead"

    await until_async(noticed)
    async with asyncio.timeout(30):
        await channel.closed.wait()


@pytest.mark.parametrize("die", [by_engine, by_pid])
@pytest.mark.on_docker
async def test_killed_container_comes_back_with_its_files(
    make: Make, backend: Backend, audited: Audited, die: Die
) -> None:
    containers = make()
    container = (await containers.create({"name": "mine"})).id
    assert await run(containers, container, WORK) == "made\n"
    await dies(containers, backend, container, die)
    assert await run(containers, container, LOOK) == FOUND
    assert (await containers.retrieve(container)).status == "running"
    assert await containers.was_brought_back(container) == "dead"
    assert await containers.was_brought_back(container) is None  # said once
    (line,) = audited("dead")
    (snapshot,) = await containers.checkpoints.all()
    assert (line["container"], line["snapshot"]) == (container, snapshot.id)
    assert lost_shell(snapshot)


@without_gvisor
@pytest.mark.on_docker
async def test_container_without_run_folder_keeps_its_files(make: Make) -> None:
    containers = make()
    container = (await containers.create({})).id
    await run(containers, container, WORK)
    with suppress(SandboxGone):  # whether it dies of that or not
        await run(containers, container, "rm -rf /run/* /run/.[!.]*; sleep 0.1")
    assert await run(containers, container, "cat /mnt/data/d/file") == "content\n"


@on_bubblewrap
async def test_shell_of_an_earlier_expiry_stays_gone(make: Make, backend: Backend, store: Rows) -> None:
    containers = make()
    container = (await containers.create({})).id
    await run(containers, container, WORK)
    await expire(store, containers, container)
    assert await run(containers, container, "echo $X; X=2; echo new >file") == "1\n"
    for _ in range(2):  # it may die again
        await dies(containers, backend, container)
        assert await run(containers, container, "cat d/file; echo ${X-unset}") == "new\nunset\n"


@without_gvisor
@pytest.mark.on_docker
async def test_lease_and_restart_keep_the_files(make: Make, backend: Backend, store: Rows) -> None:
    first = make(lease=3.0)
    ids = [(await first.create({})).id for _ in range(2)]
    for one in ids:
        await run(first, one, WORK)
    await first.aclose()

    async def all_dead() -> bool:
        return all([(await backend.get(one)).status == "dead" for one in ids])

    await until_async(all_dead)
    again = make()
    assert (await again.retrieve(ids[0])).status == "expired"
    assert await run(again, ids[0], LOOK) == FOUND
    await expire(store, again, ids[1])  # one that nothing uses expires at its time
    assert await again.checkpoints.of_expired(ids[1]) is not None
    with pytest.raises(SandboxGone):
        await backend.get(ids[1])


@without_gvisor
async def test_volume_of_dead_container_keeps_its_files(make: Make, backend: Backend) -> None:
    containers, volume = make(allowed=Allowed(volumes=True)), new_id()
    container = (await containers.create({"agent_kernel": {"volume": volume}})).id
    await run(containers, container, WORK)
    await dies(containers, backend, container)
    assert await run(containers, container, LOOK) == FOUND
    await containers.delete(container)
    await volumes_of(backend).remove_volume(volume)


@on_bubblewrap
async def test_deleted_dead_container_leaves_nothing(make: Make, backend: Backend) -> None:
    containers = make()
    container = (await containers.create({})).id
    await dies(containers, backend, container)
    await containers.delete(container)
    with pytest.raises(SandboxGone):
        await backend.get(container)
    assert await containers.checkpoints.all() == []


@without_gvisor
async def test_death_while_a_command_runs_is_an_error_once(make: Make, backend: Backend) -> None:
    containers = make()
    container = (await containers.create({})).id
    command = "echo on >file; echo on; sleep 60"

    async def killed() -> None:
        async with containers.use(container) as channel, aclosing(channel.run(command)) as events:
            async for _ in events:
                await by_pid(backend, container)

    with pytest.raises(SandboxGone, match=r"ended from outside\. Its files are kept"):
        await killed()
    assert await run(containers, container, "cat file") == "on\n"


# What can go wrong meanwhile


@pytest.fixture
def during(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Lets something happen before the backend takes a checkpoint."""
    checkpoint = snapshots_of(backend).checkpoint

    def during(happens: Callable[[], Any]) -> None:
        async def watched(*args: Any) -> Snapshot:
            await happens()
            return await checkpoint(*args)

        monkeypatch.setattr(backend, "checkpoint", watched)

    return during


@on_bubblewrap
async def test_two_servers_find_the_same_death(
    make: Make, backend: Backend, audited: Audited, during: Callable[..., None]
) -> None:
    first, second = make(), make()
    container = (await first.create({})).id
    await run(first, container, WORK)
    await dies(first, backend, container)
    refused = []

    async def other() -> None:
        with pytest.raises(SandboxUnreachable, match="being saved") as error:
            await run(second, container, LOOK)
        refused.append(error)

    during(other)
    assert (await first.retrieve(container)).status == "expired"
    assert len(refused) == len(audited("dead")) == len(await first.checkpoints.all()) == 1
    assert await run(second, container, LOOK) == FOUND


@without_gvisor
async def test_delete_while_files_are_kept_leaves_nothing(
    make: Make, backend: Backend, during: Callable[..., None]
) -> None:
    first, second = make(), make()
    container = (await first.create({})).id
    await dies(first, backend, container)
    during(lambda: second.delete(container))
    with pytest.raises(NotFound):
        await first.retrieve(container)
    with pytest.raises(SandboxGone):
        await backend.get(container)
    assert await first.checkpoints.all() == []


@on_bubblewrap
async def test_delete_after_files_were_kept_leaves_nothing(
    make: Make, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make(), make()
    container = (await first.create({})).id
    await dies(first, backend, container)
    checkpoint = snapshots_of(backend).checkpoint

    async def then_deleted(*args: Any) -> Snapshot:
        made = await checkpoint(*args)
        await backend.delete(SandboxRef(container, backend.name, "dead"))
        await first._store.delete_container(container)
        return made

    monkeypatch.setattr(backend, "checkpoint", then_deleted)
    with pytest.raises(NotFound):
        await second.retrieve(container)
    assert await first.checkpoints.all() == []


@on_bubblewrap
async def test_checkpoint_that_fails_leaves_it_dead(
    make: Make, backend: Backend, audited: Audited, during: Callable[..., None]
) -> None:
    containers = make()
    container = (await containers.create({})).id
    await dies(containers, backend, container)

    async def full() -> None:
        raise SandboxError("No space left.")

    during(full)
    for _ in range(2):
        with pytest.raises(SandboxGone, match="its files could not be kept"):
            await run(containers, container, "true")
    assert (await containers.retrieve(container)).status == "dead"
    assert [line["reason"] for line in audited("dead")] == ["No space left."]


@on_bubblewrap
async def test_without_checkpoints_it_is_dead(make: Make, backend: Backend) -> None:
    containers = make(checkpoints=CheckpointPolicy(keep_expired=False))
    container = (await containers.create({})).id
    await dies(containers, backend, container)
    assert (await containers.retrieve(container)).status == "dead"
    with pytest.raises(SandboxGone):
        await backend.get(container)


@on_bubblewrap
@pytest.mark.parametrize("error", [EngineUnavailable("It restarts."), asyncio.CancelledError()])
async def test_interrupted_keeping_is_tried_again(
    make: Make, backend: Backend, during: Callable[..., None], error: BaseException
) -> None:
    containers = make()
    container = (await containers.create({})).id
    await run(containers, container, WORK)
    await dies(containers, backend, container)
    failures = [error]

    async def once() -> None:
        if failures:
            raise failures.pop()

    during(once)
    with pytest.raises(type(error)):
        await run(containers, container, LOOK)
    assert await run(containers, container, LOOK) == FOUND


@on_bubblewrap
@pytest.mark.parametrize("comes", ["use", "start"])
async def test_server_killed_while_keeping_loses_nothing(
    make: Make, backend: Backend, store: Rows, monkeypatch: pytest.MonkeyPatch, comes: str
) -> None:
    containers = make()
    container = (await containers.create({})).id
    await run(containers, container, WORK)
    await dies(containers, backend, container)
    assert await store.change_container(container, "running", "saving", time.time())
    again = make() if comes == "start" else containers
    with pytest.raises(SandboxUnreachable, match="being saved"):  # another server may be at it
        await run(again, container, LOOK)
    monkeypatch.setattr(sweeping, "START_TIME", 0.0)  # as if five minutes had passed
    assert await run(make() if comes == "start" else containers, container, LOOK) == FOUND
