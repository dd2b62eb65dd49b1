"""Hosts killed with SIGKILL at any moment: who comes next attaches again or sweeps, and nothing stays."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from agent_kernel import config
from agent_kernel.cli import compose
from agent_kernel.errors import SandboxGone
from agent_kernel.runtime.containers import sweep as sweeping
from agent_kernel.runtime.containers.containers import ContainerOptions, LocalContainers
from agent_kernel.runtime.containers.sweep import STORE_LABEL, sweep
from agent_kernel.sandboxes.base import Backend, SandboxSpec
from agent_kernel.sandboxes.channel import Exited, Output
from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.store.rows import Rows
from agent_kernel.store.sqlite.store import sqlite_rows
from tests.forked import Forked
from tests.sandboxes.docker.sandbox import pause

HOST = """
import asyncio, sys
from agent_kernel import config
from agent_kernel.cli import compose
from agent_kernel.runtime.containers.containers import LocalContainers
from agent_kernel.store.rows import Rows
from agent_kernel.store.sqlite.store import sqlite_rows
async def main(act, lease, warm):
    settings = config.load()
    containers = LocalContainers.of_all(
        compose.backend_source(settings), compose.store(settings).rows,
        compose.container_settings(settings, lease=float(lease), warm=int(warm)),
    )
    if act == "warm":
        await containers._lifecycle.engine()
        await containers._lifecycle._pool.filled()
        print("filled", flush=True)
    while act == "churn":
        await containers.delete((await containers.create({})).id)
        print("again", flush=True)
    if act == "run":
        container = (await containers.create({})).id
        print(container, flush=True)
        async with containers.use(container, to_run=True) as channel:
            async for _ in channel.run("X=before; true"): pass
            command = "echo begun; for i in 1 2 3 4 5; do sleep 0.2; echo $i >>file; echo $i; done; sleep 60"
            async for event in channel.run(command):
                print(event, flush=True)
    await asyncio.sleep(600)
asyncio.run(main(*sys.argv[1:]))
"""

Environment = dict[str, str]


@pytest.fixture(
    params=[
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("bubblewrap", marks=pytest.mark.bubblewrap),
    ]
)
def environment(request: pytest.FixtureRequest, own_environment: Environment) -> Environment:
    """What a host process is told: a data folder of its own, on each backend."""
    if request.param == "docker":
        request.getfixturevalue("docker_engine")
    return {**own_environment, "AGENT_KERNEL_SANDBOX": request.param}


@pytest.fixture
def settings(environment: Environment) -> config.Settings:
    return config.load({}, environment, [])


@pytest.fixture
async def store(settings: config.Settings) -> AsyncIterator[Rows]:
    store = compose.store(settings).rows
    yield store
    await store.aclose()


@pytest.fixture
async def backend(settings: config.Settings, store: Rows) -> AsyncIterator[Backend]:
    backend, _ = await compose.choose_backend(settings)
    yield backend
    for ref in await backend.list({STORE_LABEL: await store.identity()}):
        await backend.delete(ref)
    await backend.aclose()


class Host:
    """A process that holds containers, to be killed."""

    def __init__(self, environment: Environment, act: str, lease: float = 600, warm: int = 0) -> None:
        words = ("-c", HOST, act, str(lease), str(warm))
        self.process = Forked(*words, environment=environment, stderr=2)

    def line(self) -> str:
        line = self.process.stdout.readline().strip()
        assert line, "the host process has ended"
        return line

    def until(self, words: str) -> None:
        while words not in self.line():
            pass

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)


@pytest.fixture
def host(environment: Environment) -> Iterator[Callable[..., Host]]:
    hosts: list[Host] = []

    def start(act: str, **how: Any) -> Host:
        hosts.append(Host(environment, act, **how))
        return hosts[-1]

    yield start
    for each in hosts:
        each.kill()


async def test_next_server_attaches_to_running_command_and_loses_nothing(
    host: Callable[..., Host], backend: Backend, store: Rows
) -> None:
    first = host("run")
    container = await asyncio.to_thread(first.line)
    await asyncio.to_thread(first.until, "begun")
    first.kill()
    again = LocalContainers.of_all(backend, store)
    async with again.use(container) as channel:
        said = b""
        async with aclosing(channel.watch(2, offset=len(b"begun\n"))) as events:
            async for event in events:
                assert isinstance(event, Output)
                said += event.data
                if said.endswith(b"5\n"):
                    break  # leaving ends the command
        assert said == b"1\n2\n3\n4\n5\n"
        told = [event async for event in channel.run("echo $X $(tail -n 1 file)")]
        assert told == [Output("stdout", b"before 5\n"), Exited(0)]
    await again.delete(container)
    assert await backend.list({STORE_LABEL: await store.identity()}) == []


async def test_killed_and_nobody_comes_the_lease_ends_it(
    host: Callable[..., Host], backend: Backend, store: Rows
) -> None:
    first = host("run", lease=1)
    container = await asyncio.to_thread(first.line)
    await asyncio.to_thread(first.until, "begun")
    first.kill()
    async with asyncio.timeout(30):
        while await _alive(backend, container):  # noqa: ASYNC110 (nobody is there to be told)
            await asyncio.sleep(0.1)
    again = LocalContainers.of_all(backend, store)
    await again._lifecycle.engine()
    assert (await again.retrieve(container)).status == "expired"  # its files are kept
    assert await backend.list({STORE_LABEL: await store.identity()}) == []
    await again.delete(container)
    assert await again.checkpoints.all() == []


async def _alive(backend: Backend, container: str) -> bool:
    try:
        return (await backend.get(container)).status == "running"
    except SandboxGone:
        return False


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
async def test_killed_while_containers_come_and_go_everything_is_swept(
    seed: int,
    host: Callable[..., Host],
    backend: Backend,
    store: Rows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = host("churn")
    await asyncio.to_thread(first.until, "again")
    await asyncio.sleep(random.Random(seed).random())
    first.kill()
    monkeypatch.setattr(sweeping, "START_TIME", 0.0)  # as if five minutes had passed
    await sweep(backend, store)
    refs = {ref.id for ref in await backend.list({STORE_LABEL: await store.identity()})}
    rows = {row.id for row in await store.containers() if row.status == "running"}
    assert refs == rows  # one that had just been made is a container like any other
    assert len(rows) <= 1


@pytest.mark.on_docker
async def test_the_pool_of_a_killed_process_is_swept(
    host: Callable[..., Host], backend: Backend, store: Rows
) -> None:
    first = host("warm", warm=2)
    await asyncio.to_thread(first.until, "filled")
    label = {STORE_LABEL: await store.identity()}
    await sweep(backend, store)
    assert len(await backend.list(label)) == 2  # its process is alive
    first.kill()
    await sweep(backend, store)
    assert await backend.list(label) == []


@pytest.mark.docker
@pytest.mark.parametrize("state", ["created", "paused", "dead"])
async def test_a_sweep_finds_every_state(
    state: str, docker_backend: DockerBackend, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = sqlite_rows(tmp_path_factory.mktemp("store") / "store.sqlite")
    label = {STORE_LABEL: await store.identity()}
    api = await docker_backend._engine.api()
    ref = await docker_backend.create(SandboxSpec(f"sweep-{state}", labels=label))
    name = f"agent-kernel-{ref.id}"
    if state == "paused":
        await pause(docker_backend, ref.id)
    else:  # one like ours that was never started, or has ended and stays because its engine was busy
        made = await asyncio.to_thread(api.inspect_container, name)
        await docker_backend.delete(ref)
        config = {"labels": made["Config"]["Labels"], "name": name, "command": ["true"]}
        left = await asyncio.to_thread(api.create_container, made["Config"]["Image"], **config)
        if state == "dead":
            await asyncio.to_thread(api.start, left["Id"])
            await asyncio.to_thread(api.wait, left["Id"])
    assert [each.id for each in await docker_backend.list(label)] == [ref.id]
    await sweep(docker_backend, store)
    assert await docker_backend.list(label) == []
    await store.aclose()


async def test_a_pause_from_outside_is_said_and_expires_nothing(
    docker_backend: DockerBackend, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = sqlite_rows(tmp_path_factory.mktemp("store") / "store.sqlite")
    containers = LocalContainers.of_all(docker_backend, store, ContainerOptions(pause_after=0))
    container = (await containers.create({})).id
    await containers._lifecycle.detach(container)
    await pause(docker_backend, container)
    await sweep(docker_backend, store)
    assert (await containers.retrieve(container)).status == "running"
    await containers.delete(container)
    await containers.aclose()
    await store.aclose()
