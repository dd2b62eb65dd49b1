from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from agent_kernel.errors import (
    EngineUnavailable,
    InvalidRequest,
    NotFound,
    SandboxGone,
    SandboxUnreachable,
    TooLarge,
)
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.containers.containers import CheckpointPolicy, ContainerOptions, LocalContainers
from agent_kernel.runtime.containers.files import workspace_path
from agent_kernel.runtime.containers.sweep import STORE_LABEL, sweep
from agent_kernel.sandboxes.base import Backend, SandboxSpec
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.channel import Channel, Output
from agent_kernel.store.records import ContainerRow
from agent_kernel.store.rows import Rows
from agent_kernel.store.sqlite.store import sqlite_rows

pytestmark = pytest.mark.bubblewrap


async def printed(channel: Channel, command: str) -> str:
    data = b""
    async with aclosing(channel.run(command)) as events:
        async for event in events:
            if isinstance(event, Output):
                data += event.data
    return data.decode()


async def used(containers: LocalContainers, container: str, command: str) -> str:
    async with containers.use(container) as channel:
        return await printed(channel, command)


async def chunks(*data: bytes) -> AsyncIterator[bytes]:
    for chunk in data:
        yield chunk


async def read(containers: LocalContainers, container_id: str, file_id: str) -> bytes:
    async with aclosing(containers.files.content(container_id, file_id)) as content:
        return b"".join([chunk async for chunk in content])


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Rows]:
    store = sqlite_rows(tmp_path / "store.sqlite")
    yield store
    await store.aclose()


@pytest.fixture
async def containers(bubblewrap_backend: BubblewrapBackend, store: Rows) -> AsyncIterator[LocalContainers]:
    containers = LocalContainers.of_all(bubblewrap_backend, store, ContainerOptions(upload_limit=1 << 20))
    yield containers
    for row in await store.containers():
        await containers.delete(row.id)
    await containers.aclose()


async def test_a_container_lives_from_create_to_delete(
    containers: LocalContainers, bubblewrap_backend: BubblewrapBackend
) -> None:
    made = await containers.create({"name": "mine"})
    assert made.id.startswith("cntr_")
    assert (made.name, made.status, made.object) == ("mine", "running", "container")
    assert made.expires_after is not None
    assert made.expires_after.minutes == 20
    async with containers.use(made.id) as channel:
        assert await printed(channel, "pwd") == "/mnt/data\n"
    await containers.delete(made.id)
    assert await bubblewrap_backend.list() == []
    for use in (containers.retrieve(made.id), containers.delete(made.id), containers.channel(made.id)):
        with pytest.raises(NotFound, match=made.id):
            await use


async def test_a_list_comes_in_pages(containers: LocalContainers) -> None:
    ids = [(await containers.create({"name": name})).id for name in "aba"]
    page = await containers.list(limit=2)
    assert [each.id for each in page.data] == [ids[2], ids[1]]
    assert page.has_more
    rest = await containers.list(limit=2, after=ids[1])
    assert [each.id for each in rest.data] == [ids[0]]
    assert not rest.has_more
    assert [each.id for each in (await containers.list(name="a", order="asc")).data] == [ids[0], ids[2]]
    for wrong in ({"limit": 0}, {"limit": 101}, {"after": "cntr_none"}):
        with pytest.raises(InvalidRequest):
            await containers.list(**wrong)


async def test_files_go_in_and_out(containers: LocalContainers) -> None:
    container = (await containers.create({})).id
    data = bytes(range(256)) * 1000
    made = await containers.files.create(container, path="sub/ünï.bin", content=chunks(data[:9], data[9:]))
    assert (made.path, made.bytes, made.source) == ("/mnt/data/sub/ünï.bin", len(data), "user")
    async with containers.use(container) as channel:
        assert await printed(channel, "echo hi > own; wc -c < sub/ünï.bin") == f"{len(data)}\n"
    listed = (await containers.files.list(container)).data
    assert [(each.path, each.source) for each in listed] == [
        ("/mnt/data/own", "assistant"),
        ("/mnt/data/sub/ünï.bin", "user"),
    ]
    assert listed[1] == made
    assert to_json(made)["agent_kernel"]["modified_ns"] > 0
    assert await containers.files.retrieve(container, made.id) == made
    assert await read(containers, container, made.id) == data
    assert await read(containers, container, listed[0].id) == b"hi\n"
    await containers.files.delete(container, made.id)
    with pytest.raises(NotFound, match=rf"{made.id}.*{container}"):
        await containers.files.retrieve(container, made.id)
    with pytest.raises(NotFound):
        await read(containers, container, made.id)


@pytest.mark.parametrize(
    "path",
    ["", ".", "..", "../x", "/etc/passwd", "/mnt/data", "/mnt/data/../x", "/mnt/database", "a\0b", "a/"],
)
def test_a_path_that_leads_outside_is_refused(path: str) -> None:
    with pytest.raises(InvalidRequest):
        workspace_path(path)


async def test_a_known_size_over_the_limit_is_refused_unread(containers: LocalContainers) -> None:
    container = (await containers.create({})).id

    async def never() -> AsyncIterator[bytes]:
        yield pytest.fail("it was read")

    with pytest.raises(TooLarge, match="2147483648 bytes"):
        await containers.files.create(container, path="big", content=never(), size=2 << 30)


async def test_an_unknown_size_over_the_limit_leaves_nothing(containers: LocalContainers) -> None:
    container = (await containers.create({})).id
    await containers.files.create(container, path="kept", content=chunks(b"old"))
    with pytest.raises(TooLarge):
        await containers.files.create(container, path="kept", content=chunks(*[b"x" * 65536] * 17))
    (file,) = (await containers.files.list(container)).data
    assert await read(containers, container, file.id) == b"old"


async def test_a_container_killed_from_outside_is_said_so(
    containers: LocalContainers, bubblewrap_backend: BubblewrapBackend
) -> None:
    container = (await containers.create({})).id
    await bubblewrap_backend.delete(await bubblewrap_backend.get(container))
    with pytest.raises(SandboxGone, match=f"{container} was ended from outside"):
        await used(containers, container, "true")
    assert (await containers.retrieve(container)).status == "dead"
    with pytest.raises(SandboxGone, match="ended from outside"):
        await containers.files.list(container)


async def test_a_container_killed_in_the_middle_of_a_command(
    containers: LocalContainers, bubblewrap_backend: BubblewrapBackend
) -> None:
    container = (await containers.create({})).id

    async def kill_it() -> None:
        async with containers.use(container) as channel, aclosing(channel.run("echo on; sleep 60")) as events:
            async for _ in events:
                await bubblewrap_backend.delete(await bubblewrap_backend.get(container))

    with pytest.raises(SandboxGone, match=f"{container} was ended from outside"):
        await kill_it()
    assert (await containers.retrieve(container)).status == "dead"


async def test_a_broken_channel_is_opened_again_and_the_shell_is_the_same(
    containers: LocalContainers,
) -> None:
    container = (await containers.create({})).id
    async with containers.use(container) as channel:
        await printed(channel, "X=still")
    await channel.aclose()
    async with containers.use(container) as channel:
        assert await printed(channel, "echo $X") == "still\n"

    async def lose_it() -> None:
        async with containers.use(container) as channel:
            await channel.aclose()
            await printed(channel, "true")

    with pytest.raises(SandboxUnreachable, match="still running"):
        await lose_it()
    assert (await containers.retrieve(container)).status == "running"


async def test_an_idle_container_expires(store: Rows, bubblewrap_backend: BubblewrapBackend) -> None:
    settings = ContainerOptions(checkpoints=CheckpointPolicy(keep_expired=False))
    containers = LocalContainers.of_all(bubblewrap_backend, store, settings)
    idle, busy = [(await containers.create({})).id for _ in range(2)]
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    async with containers.use(busy):
        delete = bubblewrap_backend.delete

        async def watched(ref: object) -> None:
            await delete(ref)  # type: ignore[arg-type]  # handed through
            ended.set_result(None)

        bubblewrap_backend.delete = watched  # type: ignore[method-assign]  # the event to wait for
        for container in (idle, busy):
            await _age(store, container)
        containers.refresh()
        await asyncio.wait_for(ended, 60)
        bubblewrap_backend.delete = delete  # type: ignore[method-assign]
    assert (await containers.retrieve(idle)).status == "expired"
    assert (await containers.retrieve(busy)).status == "running"
    assert [ref.id for ref in await bubblewrap_backend.list()] == [busy]
    with pytest.raises(InvalidRequest, match="expired"):
        await containers.channel(idle)
    await containers.delete(busy)
    await containers.aclose()


async def test_uses_of_an_open_container_do_not_look_through_all_containers(
    containers: LocalContainers, store: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A use only puts off the moment at which a container expires, so the timer need not look again."""
    container = (await containers.create({})).id
    await used(containers, container, "true")
    looks, listed = 0, store.containers

    async def counted() -> list[ContainerRow]:
        nonlocal looks
        looks += 1
        return await listed()

    monkeypatch.setattr(store, "containers", counted)
    for _ in range(20):
        await used(containers, container, "true")
    assert looks <= 1  # the use before the first may not have been looked at yet


async def _age(store: Rows, container: str) -> None:
    """Make it look as if it had been idle for an hour."""
    row = await store.container(container)
    assert row is not None
    await store.put_container(replace(row, last_active_at=row.last_active_at - 3600))


async def test_a_start_removes_what_an_earlier_run_left(
    bubblewrap_backend: BubblewrapBackend, store: Rows, tmp_path: Path
) -> None:
    first = LocalContainers.of_all(bubblewrap_backend, store)
    kept, forgotten, lost = [(await first.create({})).id for _ in range(3)]
    await first.aclose()
    await store.delete_container(forgotten)
    await bubblewrap_backend.delete(await bubblewrap_backend.get(lost))
    foreign = await bubblewrap_backend.create(SandboxSpec("foreign"))

    again = LocalContainers.of_all(bubblewrap_backend, store)
    try:
        assert (await again.retrieve(kept)).status == "running"
        assert {ref.id for ref in await bubblewrap_backend.list()} == {kept, "foreign"}
        assert (await again.retrieve(lost)).status == "dead"
    finally:
        await again.delete(kept)
        await again.aclose()
        await bubblewrap_backend.delete(foreign)


async def test_a_start_leaves_alone_what_another_process_is_just_making(
    bubblewrap_backend: BubblewrapBackend, store: Rows
) -> None:
    now = time.time()
    label = {STORE_LABEL: await store.identity()}
    for name, created_at in (("young", now), ("old", now - 3600)):
        await store.put_container(
            ContainerRow(name, "", "bubblewrap", created_at, created_at, 20, "creating", None)
        )
        await bubblewrap_backend.create(SandboxSpec(name, labels=label))
    await sweep(bubblewrap_backend, store)
    assert [row.id for row in await store.containers()] == ["young"]
    assert [ref.id for ref in await bubblewrap_backend.list()] == ["young"]
    await bubblewrap_backend.delete(await bubblewrap_backend.get("young"))


async def test_a_container_of_another_backend_is_said_so(containers: LocalContainers, store: Rows) -> None:
    now = time.time()
    await store.put_container(ContainerRow("cntr_x", "", "docker", now, now, 20, "running", None))
    for use in (containers.channel("cntr_x"), containers.files.list("cntr_x"), containers.delete("cntr_x")):
        with pytest.raises(SandboxUnreachable, match="AGENT_KERNEL_SANDBOX=docker"):
            await use
    assert not await containers.is_alive("cntr_x")
    assert (await containers.retrieve("cntr_x")).status == "running"
    await store.delete_container("cntr_x")


async def test_a_cancelled_create_leaves_nothing(
    containers: LocalContainers, store: Rows, bubblewrap_backend: BubblewrapBackend
) -> None:
    await containers.delete((await containers.create({})).id)  # the engine is known from here on
    for delay in (0.0, 0.005, 0.02):
        task = asyncio.create_task(containers.create({}))
        await asyncio.sleep(delay)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if not task.cancelled():
            await containers.delete(task.result().id)
        assert await store.containers() == []
        assert await bubblewrap_backend.list() == []


async def test_a_failing_start_leaves_nothing(tmp_path: Path, store: Rows) -> None:
    async def none() -> Backend:
        raise EngineUnavailable("There is no engine.", hint="Install one.")

    source: Callable[[], Awaitable[Backend]] = none
    containers = LocalContainers.of_all(source, store)
    with pytest.raises(EngineUnavailable, match="Install one"):
        await containers.create({})
    assert await store.containers() == []
    assert (await containers.list()).data == []
    await containers.aclose()


async def test_a_memory_limit_that_cannot_be_kept_is_refused(
    containers: LocalContainers, bubblewrap_backend: BubblewrapBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = replace(bubblewrap_backend.capabilities(), memory_limit=False)
    monkeypatch.setattr(bubblewrap_backend, "capabilities", lambda: none)
    with pytest.raises(InvalidRequest, match="cannot limit memory") as caught:
        await containers.create({"memory_limit": "4g"})
    assert caught.value.param == "memory_limit"


async def test_expiry_survives_an_engine_that_does_not_answer(
    containers: LocalContainers,
    store: Rows,
    bubblewrap_backend: BubblewrapBackend,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    container = (await containers.create({})).id
    asked = asyncio.Event()

    async def silent(_: object) -> None:
        asked.set()
        raise EngineUnavailable("The engine is away.")

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(bubblewrap_backend, "delete", silent)
        await _age(store, container)
        containers.refresh()
        await asyncio.wait_for(asked.wait(), 60)
    containers.refresh()  # a minute later
    async with asyncio.timeout(60):
        while await bubblewrap_backend.list():  # noqa: ASYNC110 (the engine has no event for it)
            await asyncio.sleep(0.01)
    assert (await containers.create({})).status == "running"
