"""`kill -9` of a kernel, a server or boxd during transfers: no connection, listener or process stays."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.manager import AsyncKernelManager
from openai import AsyncOpenAI

from agent_kernel import config
from agent_kernel.cli import compose
from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.runtime.containers.containers import LocalContainers
from agent_kernel.runtime.network.egress import ContainerEgress
from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.channel import Channel
from tests import forked
from tests.conftest import without_gvisor
from tests.runtime.containers.test_deaths import by_pid
from tests.runtime.network.transfers import Endless, endless
from tests.sandboxes.inside import Sandbox

Make = Callable[..., LocalContainers]
Hosting = Callable[[Endless, dict[str, str], Path], contextlib.AbstractAsyncContextManager[psutil.Process]]

LOOK = "cat /proc/net/tcp /proc/net/tcp6; pgrep -fc '[s]ocket.create_connection'"
ESTABLISHED = " 01 "


@pytest.fixture
async def outside() -> AsyncIterator[Endless]:
    async with endless() as made:
        yield made


@contextlib.asynccontextmanager
async def serving(
    outside: Endless, environment: dict[str, str], folder: Path
) -> AsyncIterator[psutil.Process]:
    """A server whose turn transfers."""
    turns = [{"when": "transfer", "do": [{"shell": outside.command}, {"say": "never"}]}]
    script = folder / "script.yaml"
    script.write_text(json.dumps({"name": "transfer", "turns": turns}))
    flags = ("--model", f"scripted/{script}", "--server-lease", "60")
    process, url = await asyncio.to_thread(forked.serve, *flags, environment=environment)
    policy = {"type": "allowlist", "allowed_domains": [outside.rule]}
    shell: Any = {"type": "shell", "environment": {"type": "container_auto", "network_policy": policy}}
    async with AsyncOpenAI(base_url=url, api_key="x", max_retries=0) as client:
        await client.responses.create(input="transfer", tools=[shell], background=True)
        yield psutil.Process(process.pid)
        await asyncio.to_thread(process.wait)


@contextlib.asynccontextmanager
async def in_kernel(
    outside: Endless, environment: dict[str, str], folder: Path
) -> AsyncIterator[psutil.Process]:
    """A kernel whose cell transfers."""
    argv = [sys.executable, "-P", "-m", "agent_kernel", "kernel", "-f", "{connection_file}"]
    (folder / "agent").mkdir()
    (folder / "agent" / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "agent"}))
    manager = AsyncKernelManager(kernel_name="agent")
    manager.kernel_spec_manager.kernel_dirs = [str(folder)]
    await manager.start_kernel(cwd=str(folder), env=environment)
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(60)
        for cell in (f"%network allow {outside.rule}", f"%%bash\n{outside.command}"):
            client.execute(cell)
        yield psutil.Process(manager.provisioner.process.pid)  # type: ignore[union-attr]
        await manager.provisioner.wait()  # type: ignore[union-attr]
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)
        await manager.cleanup_resources()


@pytest.fixture(
    params=[
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("bubblewrap", marks=pytest.mark.bubblewrap),
    ]
)
def environment(request: pytest.FixtureRequest, own_environment: dict[str, str]) -> dict[str, str]:
    if request.param == "docker":
        request.getfixturevalue("docker_engine")
    return {**own_environment, "AGENT_KERNEL_SANDBOX": request.param}


@contextlib.asynccontextmanager
async def left_by(environment: dict[str, str]) -> AsyncIterator[Sandbox]:
    """Attach to the sandbox that a killed host has left, and remove it."""
    settings = config.load({}, environment, [])
    backend, _ = await compose.choose_backend(settings)
    store = compose.store(settings).rows
    (row,) = await store.containers()
    ref = await backend.get(row.id)
    try:
        channel = await Channel.open(await backend.stream(ref), None)
        yield Sandbox(backend, ref, channel)
        await channel.aclose()
    finally:
        await backend.delete(ref)
        await store.aclose()
        await backend.aclose()


@pytest.mark.parametrize("hosting", [serving, in_kernel])
async def test_killed_host_leaves_nothing(
    hosting: Hosting, environment: dict[str, str], outside: Endless, tmp_path: Path
) -> None:
    environment["AGENT_KERNEL_NETWORK"] = outside.rule
    async with hosting(outside, environment, tmp_path) as host:
        await outside.until_open(2)
        listening = [each.laddr for each in host.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
        children = host.children(recursive=True)
        host.kill()
    await outside.until_open(0)
    assert outside.holders() == []
    for address in listening:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)
    async with left_by(environment) as run:
        looked = (await run(LOOK)).stdout.decode()
        assert ESTABLISHED not in looked
        assert looked.split()[-1] == "0", "the program's connections have ended, and so has the program"
    _, alive = await asyncio.to_thread(psutil.wait_procs, children, 20)
    assert alive == []


@without_gvisor
@pytest.mark.on_docker
async def test_killed_boxd_leaves_nothing(make: Make, backend: Backend, outside: Endless) -> None:
    bound = NetworkPolicy.parse([outside.rule])
    containers = make(network=bound)
    made = await containers.create({"network_policy": bound.to_json()})
    running = asyncio.create_task(_run(containers, made.id, outside.command))
    await outside.until_open(2)
    egress = containers._lifecycle.networks._known[made.id]
    assert isinstance(egress, ContainerEgress)
    assert egress.broker.open == 2
    await by_pid(backend, made.id)
    await outside.until_open(0)
    async with asyncio.timeout(60):
        while egress.broker.open:  # noqa: ASYNC110 (the server's end may close first)
            await asyncio.sleep(0)
    assert outside.holders() == []
    await asyncio.gather(running, return_exceptions=True)
    assert not [each for each in psutil.process_iter(["cmdline"]) if str(outside.port) in words(each)]


async def _run(containers: LocalContainers, container: str, command: str) -> None:
    async with containers.use(container, to_run=True) as channel:
        async for _ in channel.run(command):
            pass


def words(process: psutil.Process) -> str:
    return " ".join(process.info["cmdline"] or [])
