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
async def main(made):
    settings = config.load()
    containers = LocalContainers.of_all(
        compose.backend_source(settings), compose.store(settings).rows,
        compose.container_settings(settings, lease=600.0),
    )
    snapshots = await containers.snapshots(made)
    print("ready", flush=True)
    while True:
        for snapshot in snapshots:
            await containers.restore(made, snapshot.id)
            print("again", flush=True)
asyncio.run(main(*sys.argv[1:]))
"""
ROUNDS = 4


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
    chosen = random.Random(7)
    made = (await containers.create({})).id
    for word in ("one", "two"):
        await run(containers, made, f"echo {word} >file; X={word}; sleep 1000 &")
        await containers.snapshot(made)
    seen = set()
    for _ in range(ROUNDS):
        host = Forked("-c", HOST, made, environment=environment, stderr=2)
        try:
            assert await asyncio.to_thread(host.stdout.readline) == "ready\n"
            for _ in range(chosen.randrange(2)):
                assert await asyncio.to_thread(host.stdout.readline) == "again\n"
            await asyncio.sleep(chosen.random() / 2)  # any moment will do
        finally:
            host.kill()
            host.wait(20)
        await containers.aclose()
        seen.add(await run(containers, made, "cat file; echo $X"))
        assert (await containers.retrieve(made)).status == "running"
        backend = await containers._lifecycle.engine()  # its first use has swept
        store = {STORE_LABEL: await containers._store.identity()}
        assert len(await backend.list(store)) == 1
        assert len(await containers.snapshots(made)) == 2
    assert seen <= {"one\none\n", "two\ntwo\n"}
