"""Limits, volumes and mounts that a request asks for: kept, bounded, restored, and refused with a reason."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import ConfigurationError, InvalidRequest, LimitUnavailable, SandboxStartFailed
from agent_kernel.protocol.params import LONGEST_VOLUME
from agent_kernel.runtime.containers.containers import LocalContainers
from agent_kernel.runtime.containers.params import check_params
from agent_kernel.runtime.containers.resources import Allowed, Resources, owner_of, scoped
from agent_kernel.sandboxes.base import VOLUME_NAME, Backend, Capabilities, Probe
from agent_kernel.sandboxes.channel import Exited, Output
from agent_kernel.sandboxes.mounts import HostMount
from agent_kernel.sandboxes.optional import volumes_of
from agent_kernel.store.rows import Rows

Make = Callable[..., LocalContainers]


async def said(containers: LocalContainers, container_id: str, command: str) -> str:
    async with containers.use(container_id, to_run=True) as channel:
        printed = b""
        async for event in channel.run(command, timeout=60):
            if isinstance(event, Output):
                printed += event.data
            else:
                assert event == Exited(0), printed
        return printed.decode().strip()


def ours(container: Any) -> dict[str, Any]:
    extra: dict[str, Any] = container.model_extra["agent_kernel"]
    return extra


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path.resolve() / "sales"
    made.mkdir()
    (made / "a.csv").write_text("x\n1\n")
    return made


LIMITS = "ulimit -n; cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null || true"


@pytest.mark.on_docker
async def test_limits_are_kept_shown_and_restored(make: Make, store: Rows, backend: Backend) -> None:
    asked: dict[str, Any] = {"open_files": 200}
    able = backend.capabilities()
    asked |= {"pids": 100} if able.process_limit else {}
    asked |= {"cpus": 1} if able.cpu_limit else {}
    containers = make()
    made = await containers.create({"agent_kernel": asked})
    assert asked.items() <= ours(made).items()
    first = await said(containers, made.id, LIMITS)
    assert first.split()[0] == "200"
    copy = await containers.fork(made.id)
    assert asked.items() <= ours(copy).items()
    row = await store.container(made.id)
    assert row is not None
    await expire(containers, store, made.id)
    assert await said(containers, made.id, LIMITS) == first == await said(containers, copy.id, LIMITS)
    assert asked.items() <= ours(await containers.retrieve(made.id)).items()


async def expire(containers: LocalContainers, store: Rows, container_id: str) -> None:
    assert await store.change_container(container_id, "running", "running", time.time() - 7200)
    containers.refresh()
    async with asyncio.timeout(60):
        while (await containers.retrieve(container_id)).status != "expired":  # noqa: ASYNC110
            await asyncio.sleep(0.02)


BOUNDS = Resources(pids=200, open_files=300)


async def test_the_settings_are_default_and_upper_bound(make: Make, backend: Backend) -> None:
    bounds = BOUNDS if backend.capabilities().process_limit else Resources(open_files=300)
    containers = make(allowed=Allowed(bounds))
    made = await containers.create({})
    assert ours(made)["open_files"] == 300
    assert await said(containers, made.id, "ulimit -n") == "300"
    with pytest.raises(InvalidRequest, match="open_files may be at most 300 here") as refused:
        await containers.create({"agent_kernel": {"open_files": 301}})
    assert refused.value.param == "agent_kernel.open_files"
    less = await containers.create({"agent_kernel": {"open_files": 100}})
    assert await said(containers, less.id, "ulimit -n") == "100"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cpus": 0}, "agent_kernel.cpus must be at least 0.01"),
        ({"cpus": "2"}, "agent_kernel.cpus must be a number"),
        ({"cpus": float("nan")}, "agent_kernel.cpus must be"),
        ({"pids": 1.5}, "agent_kernel.pids must be a whole number"),
        ({"pids": True}, "agent_kernel.pids must be a whole number"),
        ({"open_files": 10**30}, "agent_kernel.open_files must be at most"),
        ({"disk": -1}, "agent_kernel.disk must be at least"),
        ({"volume": "../other"}, "agent_kernel.volume must be a name of letters"),
        ({"volume": "x" * 61}, "at most 60 characters"),
        ({"mounts": "sales"}, "agent_kernel.mounts must be a list"),
        ({"mounts": ["x"] * 17}, "at most 16 entries"),
        ({"gpus": 1}, "No such field: agent_kernel.gpus"),
        ([], "agent_kernel must be an object"),
    ],
)
def test_wrong_values_are_refused(given: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message.replace(".", r"\.")):
        check_params({"agent_kernel": given or [1]})


class Incapable:
    """A backend that can limit nothing."""

    name = "toy"

    async def probe(self) -> Probe:
        return Probe(True, "")

    def capabilities(self) -> Capabilities:
        return Capabilities(memory_limit=False, process_limit=False, isolation="none")


@pytest.mark.parametrize("name", ["cpus", "pids", "open_files", "disk"])
async def test_refuses_limits_that_a_backend_lacks(name: str) -> None:
    backend: Any = Incapable()
    asked = Resources(**{name: 1 << 30})  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="The toy sandbox cannot limit") as refused:
        await Allowed().resolve(asked, backend)
    assert refused.value.param == f"agent_kernel.{name}"
    with pytest.raises(LimitUnavailable, match="The toy sandbox cannot limit") as missing:
        await Allowed(bounds=asked).resolve(Resources(), backend)
    assert f"AGENT_KERNEL_{name.upper()}" in (missing.value.hint or "")


async def test_refuses_volumes_and_mounts_that_a_backend_lacks(folder: Path) -> None:
    backend: Any = Incapable()
    allowed = Allowed(volumes=True, mounts={"sales": HostMount("sales", str(folder))})
    for asked in (Resources(volume="v"), Resources(mounts=("sales",))):
        with pytest.raises(InvalidRequest, match="The toy sandbox cannot"):
            await allowed.resolve(asked, backend)


@pytest.mark.on_docker
async def test_a_volume_outlives_its_container(make: Make, store: Rows, backend: Backend) -> None:
    containers = make(allowed=Allowed(volumes=True))
    name = f"v{secrets.token_hex(4)}"
    asked = {"agent_kernel": {"volume": name}}
    try:
        first = await containers.create(asked)
        assert ours(first)["volume"] == name
        await said(containers, first.id, "echo kept > /mnt/data/file.txt")
        copy = await containers.fork(first.id)
        assert "volume" not in ours(copy)  # two containers that write to one workspace would be a surprise
        assert await said(containers, copy.id, "cat /mnt/data/file.txt") == "kept"
        await containers.delete(first.id)
        again = await containers.create(asked)
        assert await said(containers, again.id, "cat /mnt/data/file.txt") == "kept"
        await expire(containers, store, again.id)
        assert await said(containers, again.id, "cat /mnt/data/file.txt") == "kept"
        await containers.delete(again.id)
    finally:
        await volumes_of(backend).remove_volume(scoped(name, owner_of(await store.identity(), "")))


def test_volumes_of_two_owners_never_meet() -> None:
    names = {scoped("v", owner_of(store, tenant)) for store in ("s", "t") for tenant in ("", "ann", "bob")}
    assert len(names) == 6
    assert all(VOLUME_NAME.fullmatch(name) for name in names)
    assert VOLUME_NAME.fullmatch(scoped("x" * LONGEST_VOLUME, "o"))


async def test_volumes_need_the_operators_consent(make: Make) -> None:
    with pytest.raises(InvalidRequest, match="no named volumes") as refused:
        await make().create({"agent_kernel": {"volume": "v"}})
    assert "AGENT_KERNEL_VOLUMES" in (refused.value.hint or "")


@contextmanager
def replaced_by_a_link(folder: Path) -> Iterator[None]:
    folder.rename(folder.with_name("moved"))
    folder.symlink_to("/etc")
    try:
        yield
    finally:
        folder.unlink()
        folder.with_name("moved").rename(folder)


async def test_mounts_are_told_and_checked_again(make: Make, store: Rows, folder: Path) -> None:
    allowed = Allowed(mounts={"sales": HostMount("sales", str(folder))})
    containers = make(allowed=allowed)
    assert await containers.mounts() == {"sales": "/mnt/sales"}
    made = await containers.create({"agent_kernel": {"mounts": ["sales", "sales"]}})
    assert ours(made)["mounts"] == ["sales"]
    assert await containers.mounted(made.id) == ["sales"]
    assert await said(containers, made.id, "cat /mnt/sales/a.csv") == "x\n1"
    with pytest.raises(InvalidRequest, match=r"There is no mount 'other' here\. Available mounts: sales"):
        await containers.create({"agent_kernel": {"mounts": ["other"]}})
    await expire(containers, store, made.id)
    with replaced_by_a_link(folder), pytest.raises(ConfigurationError, match="symbolic link"):
        await said(containers, made.id, "true")
    assert await said(containers, made.id, "cat /mnt/sales/a.csv") == "x\n1"  # nothing was lost meanwhile


@pytest.mark.parametrize("damage", ["{", "[]", '{"cpus": "many"}'])
async def test_a_damaged_row_fails_alone(make: Make, store: Rows, damage: str) -> None:
    containers = make()
    good, bad = await containers.create({}), await containers.create({})
    row = await store.container(bad.id)
    assert row is not None
    await store.delete_container(bad.id)
    await store.put_container(replace(row, resources=damage))
    assert {each.id for each in (await containers.list()).data} == {good.id, bad.id}
    await expire(containers, store, bad.id)
    with pytest.raises(SandboxStartFailed, match=r"record of container .* is damaged"):
        await said(containers, bad.id, "true")
    assert await said(containers, good.id, "echo on") == "on"
    await containers.delete(bad.id)
