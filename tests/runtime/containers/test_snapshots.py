"""Snapshots of containers: what every runtime does with them, in this process or over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any, Protocol, cast

import pytest

from agent_kernel.errors import CapabilityMissing, NotFound, SandboxBusy
from agent_kernel.runtime.base import Containers, Runtime
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.remote.runtime import RemoteRuntime
from agent_kernel.runtime.sessions import AsksSessions
from agent_kernel.runtime.snapshots import KeepsSnapshots
from tests.runtime.conftest import served
from tests.runtime.test_contract import DIRECT, chunks, run, turn


class Keeping(KeepsSnapshots, AsksSessions, Containers, Protocol):
    """Containers with everything that these tests use."""


def kept(runtime: Runtime) -> Keeping:
    containers: Any = runtime.containers
    assert isinstance(containers, KeepsSnapshots)
    return cast(Keeping, containers)


def python(container: str) -> dict[str, Any]:
    return {"model": "agent_kernel/python", "tools": [{"type": "code_interpreter", "container": container}]}


@pytest.mark.on_docker
async def test_a_container_goes_back_and_forth(runtime: Runtime) -> None:
    containers = kept(runtime)
    made = (await containers.create({"name": "mine"})).id
    await run(runtime, "echo one >file; X=1; mkdir deep; cd deep", made)
    first = await containers.snapshot(made, name="päckchen 1", automatic=True)
    assert (first.container_id, first.name, first.automatic) == (made, "päckchen 1", True)
    assert first.size > 0
    await run(runtime, "cd ..; echo two >file; rmdir deep; X=2; (sleep 1234 &)", made)
    await turn(runtime, "first = 1; second = 2", **python(made))
    second = await containers.snapshot(made)
    assert not second.automatic
    assert await containers.snapshots(made) == [first, second]
    back = await containers.restore(made, first.id)
    assert (back.container.id, back.container.name, back.container.status) == (made, "mine", "running")
    assert list(back.ended) == ["sleep 1234"]
    assert sorted(back.lost) == ["first", "second"]
    assert await run(runtime, "cat ../file; echo $X; pwd; jobs", made) == "one\n1\n/mnt/data/deep\n"
    assert (await containers.ask_session(made, {"ask": "variables"}))["session"] == "absent"
    forth = await containers.restore(made, second.id)
    assert (list(forth.ended), list(forth.lost)) == ([], [])
    assert await run(runtime, "cat file; echo $X", made) == "two\n2\n"


async def test_forks_and_what_is_left_of_a_deleted_container(runtime: Runtime) -> None:
    containers = kept(runtime)
    made = (await containers.create({"name": "mine"})).id
    await run(runtime, "echo one >file; X=1", made)
    automatic = await containers.snapshot(made, automatic=True)
    explicit = await containers.snapshot(made, name="kept")
    await run(runtime, "echo two >file", made)
    now = await containers.fork(made)
    then = await containers.fork(made, snapshot_id=automatic.id, name="then")
    assert (now.name, then.name) == ("mine", "then")
    assert await run(runtime, "cat file; echo $X", now.id) == "two\n1\n"
    assert await run(runtime, "cat file; echo $X", then.id) == "one\n1\n"
    assert await containers.snapshots(made) == [automatic, explicit], "a fork leaves none"
    assert await containers.snapshots(now.id) == []
    await containers.delete(made)
    assert await containers.snapshots(made) == [explicit]
    with pytest.raises(NotFound):
        await containers.restore(made, explicit.id)
    again = await containers.fork(made, snapshot_id=explicit.id)
    assert await run(runtime, "cat file", again.id) == "one\n"
    await containers.delete_snapshot(made, explicit.id)
    assert await run(runtime, "cat file", again.id) == "one\n"
    for gone in (containers.snapshots(made), containers.fork(made), containers.snapshot(made)):
        with pytest.raises(NotFound) as caught:
            await gone
        assert caught.value.param == "container_id"


async def test_what_is_refused(runtime: Runtime) -> None:
    containers = kept(runtime)
    made, other = [(await containers.create({"name": name})).id for name in ("a", "b")]
    of_other = await containers.snapshot(other)
    for call in (
        containers.restore(made, of_other.id),
        containers.delete_snapshot(made, of_other.id),
        containers.fork(made, snapshot_id=of_other.id),
        containers.restore(made, "snap_x"),
        containers.delete_snapshot(made, "../x"),
    ):
        with pytest.raises(NotFound):
            await call
    unknown: tuple[Coroutine[Any, Any, Any], ...] = (
        containers.snapshot("cntr_x"),
        containers.restore("cntr_x", of_other.id),
        containers.fork("cntr_x"),
    )
    for each in unknown:
        with pytest.raises(NotFound):
            await each
    await containers.delete_snapshot(other, of_other.id)


async def test_a_turn_keeps_its_container_where_it_is(runtime: Runtime) -> None:
    containers = kept(runtime)
    made = (await containers.create({})).id
    await run(runtime, "echo one >file", made)
    snapshot = await containers.snapshot(made)
    tool = {"type": "shell", "environment": {"type": "container_reference", "container_id": made}}
    request = {"model": DIRECT, "input": "echo two >file; echo begun; sleep 1000", "tools": [tool]}
    async with aclosing(runtime.respond(request)) as events:
        async for event in events:
            if "begun" in str(event):
                break
        for call in (containers.restore(made, snapshot.id), containers.fork(made)):
            with pytest.raises(SandboxBusy, match="turn or a command is running"):
                await call
    async with asyncio.timeout(30):
        while True:  # the turn ends a moment after its reader has left
            with suppress(SandboxBusy):
                await containers.restore(made, snapshot.id)
                break
            await asyncio.sleep(0.1)
    assert await run(runtime, "cat file", made) == "one\n"


async def test_files_and_marks_are_those_of_then(runtime: Runtime) -> None:
    containers: Any = kept(runtime)
    made = (await containers.create({})).id
    for name in ("a", "b"):
        await containers.files.create(made, path=name, content=chunks(b"one"))
    snapshot = await containers.snapshot(made)
    mark = (await containers.files.changes(made)).mark
    await containers.files.create(made, path="c", content=chunks(b"two"))
    page = await containers.files.list(made, limit=1)
    assert [each.path for each in page.data] == ["/mnt/data/c"]
    await containers.restore(made, snapshot.id)
    assert {each.path for each in (await containers.files.list(made)).data} == {"/mnt/data/a", "/mnt/data/b"}
    changes = await containers.files.changes(made, since=mark)
    assert not changes.known, "clients list everything again"


async def test_hostile_bodies(local_runtime: LocalRuntime) -> None:
    made = (await local_runtime.containers.create({})).id
    async with served(local_runtime, None) as url:
        remote = RemoteRuntime(url, None)
        client = cast(Any, remote.containers)._client
        for what, body, param in (
            ("snapshots", {"name": 1}, "name"),
            ("snapshots", {"name": "a\nb"}, "name"),
            ("snapshots", {"name": "x" * 257}, "name"),
            ("snapshots", {"automatic": "yes"}, "automatic"),
            ("snapshots", {"other": 1}, "other"),
            ("restore", {}, "snapshot_id"),
            ("restore", {"snapshot_id": None}, "snapshot_id"),
            ("restore", {"snapshot_id": ["x"]}, "snapshot_id"),
            ("restore", {"snapshot_id": "snap_x", "to": "/"}, "to"),
            ("fork", {"snapshot_id": 7}, "snapshot_id"),
            ("fork", {"name": "\x1b[2J"}, "name"),
        ):
            answer = await client._client.post(f"containers/{made}/agent_kernel/{what}", json=body)
            error = answer.json()["error"]
            assert (answer.status_code, error["param"]) == (400, param), (what, body, error)
        answer = await client._client.post(
            f"containers/{made}/agent_kernel/snapshots", content=b"[", headers={"content-type": "text/plain"}
        )
        assert answer.status_code == 400
        await remote.aclose()
    assert await local_runtime.containers.snapshots(made) == []


async def test_a_server_without_snapshots_is_told_of_in_words(
    local_runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by OpenAI's own: it knows containers, but none of these paths."""
    from agent_kernel.server import app, routes

    made = (await local_runtime.containers.create({})).id
    fewer = [route for route in routes.ROUTES if "snapshots" not in str(getattr(route, "path", ""))]
    monkeypatch.setattr(app, "ROUTES", fewer)
    async with served(local_runtime, None) as url:
        remote = RemoteRuntime(url, None)
        with pytest.raises(CapabilityMissing, match="keeps no snapshots of containers"):
            await kept(remote).snapshot(made)
        await remote.aclose()


async def test_a_backend_without_snapshots_says_so(
    runtime: Runtime, local_runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    containers = kept(runtime)
    made = (await containers.create({})).id
    backend = await local_runtime.containers._lifecycle.engine()
    able = backend.capabilities()
    monkeypatch.setattr(backend, "capabilities", lambda: replace(able, snapshots=False))
    for call in (containers.snapshot(made), containers.fork(made)):
        with pytest.raises(CapabilityMissing, match="have no checkpoints"):
            await call
    assert await containers.snapshots(made) == []
    assert await run(runtime, "echo on", made) == "on\n"
