"""Hosts killed with SIGKILL while a container goes back: it is before or after, and nothing is left over."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from agent_kernel import config
from agent_kernel.cli import compose
from agent_kernel.runtime.containers.containers import LocalContainers
from agent_kernel.runtime.containers.sweep import STORE_LABEL
from tests.forked import Forked
from tests.runtime.containers.lifecycle import run

HOST = """
import asyncio, sys
from agent_kernel import config
from agent_kernel.cli import compose
from agent_kernel.runtime.containers.containers import LocalContainers
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.channel import Channel
async def main(made, step):
    settings = config.load()
    containers = LocalContainers.of_all(
        compose.backend_source(settings), compose.store(settings).rows,
        compose.container_settings(settings, lease=600.0),
    )
    snapshots = await containers.snapshots(made)
    async def stop(*_):
        print("ready", flush=True)
        await asyncio.sleep(600)
    async def not_in_place(*_):
        return False
    if step in ("started", "swapped"):
        BubblewrapBackend.put_back = not_in_place
    if step == "put":
        Channel.renew = stop
    elif step == "started":
        containers._store.replace_sandbox = stop
    elif step == "swapped":
        containers._lifecycle.put_away = stop
    else:
        print("ready", flush=True)
    while True:
        for snapshot in snapshots:
            await containers.restore(made, snapshot.id)
            print("again", flush=True)
asyncio.run(main(*sys.argv[1:]))
"""
STEPS = {"started": ("two",), "swapped": ("one",), "put": ("one",), "any": ("one", "two")}
"""What the container holds after its host was killed at a step, on the way from `two` to `one`.

`put` is a step of going back in place.
"""


@pytest.fixture(
    params=[
        pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.slow]),
        pytest.param("bubblewrap", marks=pytest.mark.bubblewrap),
    ]
)
def environment(request: pytest.FixtureRequest, own_environment: dict[str, str]) -> dict[str, str]:
    """What a host process is told: a data folder of its own, on each backend."""
    if request.param == "docker":
        request.getfixturevalue("docker_engine")
    return {**own_environment, "AGENT_KERNEL_SANDBOX": request.param}


@pytest.fixture
async def containers(environment: dict[str, str]) -> AsyncIterator[LocalContainers]:
    """Those of the next host."""
    settings = config.load({}, environment, [])
    store = compose.store(settings).rows
    containers = LocalContainers.of_all(
        compose.backend_source(settings), store, compose.container_settings(settings, lease=600)
    )
    yield containers
    for container in (await containers.list()).data:
        await containers.delete(container.id)
    for snapshot in await containers.checkpoints.all():
        await containers.checkpoints.remove(snapshot)
    await containers.aclose()
    await store.aclose()


async def test_killed_at_any_moment(containers: LocalContainers, environment: dict[str, str]) -> None:
    made = (await containers.create({})).id
    for word in ("one", "two"):
        await run(containers, made, f"echo {word} >file; X={word}; sleep 1000 &")
        await containers.snapshot(made)
    in_place = environment["AGENT_KERNEL_SANDBOX"] == "bubblewrap"
    for step, found in STEPS.items():
        if step == "put" and not in_place:
            continue
        host = Forked("-c", HOST, made, step, environment=environment, stderr=2)
        try:
            assert await asyncio.to_thread(host.stdout.readline) == "ready\n"
            if step == "any":
                await asyncio.sleep(random.random() / 2)
        finally:
            host.kill()
            host.wait(60)
        await containers.aclose()
        assert (await run(containers, made, "cat file; echo $X")).split() in [[word] * 2 for word in found]
        assert (await containers.retrieve(made)).status == "running"
        backend = await containers._lifecycle.engine()  # its first use has swept
        store = {STORE_LABEL: await containers._store.identity()}
        assert len(await backend.list(store)) == 1
        assert len(await containers.snapshots(made)) == 2
