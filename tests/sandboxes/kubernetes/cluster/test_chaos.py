"""What a cluster does to sandboxes: pods end, nodes are drained, the API server and connections break."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from agent_kernel.errors import SandboxError, SandboxGone, SandboxUnreachable
from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.channel import Channel, CommandEvent, Exited, Output, Skipped
from agent_kernel.sandboxes.kubernetes.backend import KubernetesBackend
from agent_kernel.sandboxes.kubernetes.cluster import Cluster
from agent_kernel.sandboxes.kubernetes.manifests import object_name
from agent_kernel.sandboxes.kubernetes.settings import KubernetesSettings
from tests.sandboxes.inside import Sandbox, new_id, started
from tests.sandboxes.kubernetes.cluster.conftest import CLUSTER

API_SERVER = Path(CLUSTER, "apiserver.pid")


@pytest.fixture
async def admin() -> AsyncIterator[Cluster]:
    cluster = Cluster(KubernetesSettings())
    yield cluster
    await cluster.aclose()


def kill_api_server() -> None:
    """End the API server. The script that started it starts another."""
    os.kill(int(API_SERVER.read_text()), signal.SIGKILL)


async def evict(admin: Cluster, pod: str) -> None:
    body = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": pod}}
    await admin.ask("POST", "pods", f"{pod}/eviction", body=body)


async def node_of(admin: Cluster, sandbox: str) -> str:
    pod = await admin.ask("GET", "pods", object_name(sandbox))
    return str(pod["spec"]["nodeName"])


async def test_evicted_pod_is_a_sandbox_that_is_gone(backend: Backend, admin: Cluster) -> None:
    async with started(backend) as run:
        command = asyncio.ensure_future(run("sleep 600"))
        await run("true")
        await evict(admin, object_name(run.ref.id))
        with pytest.raises(SandboxGone, match=r"deleted or evicted|ended"):
            await command
        with pytest.raises(SandboxGone):
            await backend.stream(run.ref)


async def test_volume_moves_to_another_node_after_a_drain(backend: Backend, admin: Cluster) -> None:
    assert isinstance(backend, KubernetesBackend)
    volume = f"drained-{new_id()}"
    async with started(backend, volume=volume) as run:
        assert (await run("echo kept > file; pip --version > /dev/null; echo home > ~/home")).code == 0
        node = await node_of(admin, run.ref.id)
        await cordon(admin, node, True)
        try:
            await evict(admin, object_name(run.ref.id))
            async with started(backend, volume=volume) as moved:
                assert await node_of(admin, moved.ref.id) != node
                assert (await moved("cat file ~/home")).stdout == b"kept\nhome\n"
        finally:
            await cordon(admin, node, False)
    await backend.remove_volume(volume)


async def cordon(admin: Cluster, node: str, unschedulable: bool) -> None:
    from kubernetes.aio import client

    await admin.connect()
    body = {"spec": {"unschedulable": unschedulable}}
    await client.CoreV1Api(admin._api).patch_node(node, body)


async def test_restarted_api_server_loses_no_output(backend: Backend) -> None:
    async with started(backend) as run:
        numbers = NumberedOutput(run)
        reading = asyncio.ensure_future(numbers.read(until=50_000))
        await numbers.seen.wait()
        kill_api_server()
        await reading
        assert numbers.lines == list(range(1, 50_001))


async def test_cut_connection_loses_and_doubles_no_output(backend: Backend) -> None:
    async with started(backend) as run:
        numbers = NumberedOutput(run)
        reading = asyncio.ensure_future(numbers.read(until=50_000))
        await numbers.seen.wait()
        numbers.cut()
        await reading
        assert numbers.breaks >= 1
        assert numbers.lines == list(range(1, 50_001))


class NumberedOutput:
    """Reads the output of one command, over as many connections as it takes."""

    def __init__(self, run: Sandbox) -> None:
        self._run = run
        self._text = bytearray()
        self._name = new_id()
        self.seen = asyncio.Event()
        self.breaks = 0

    @property
    def lines(self) -> list[int]:
        return [int(line) for line in self._text.split()]

    def cut(self) -> None:
        response = self._run.channel._connection._stream._socket._response  # type: ignore[attr-defined]
        response.connection.transport.abort()

    async def read(self, until: int) -> None:
        slow = f"for i in $(seq 1 {until}); do echo $i; [ $((i % 5000)) = 0 ] && sleep 0.2; done"
        ended = await self._follow(self._run.channel.run(slow, timeout=300, name=self._name))
        while not ended:
            self.breaks += 1
            await self._run.channel.aclose()
            self._run.channel = await reopened(self._run)
            ended = await self._follow(self._run.channel.watch(self._name, len(self._text)))

    async def _follow(self, events: AsyncGenerator[CommandEvent | Skipped, None]) -> bool:
        """Read on. Return whether the command has ended; otherwise the connection has."""
        async with aclosing(events):
            try:
                async for event in events:
                    assert not isinstance(event, Skipped)
                    if isinstance(event, Output):
                        self._text += event.data
                        self.seen.set()
            except SandboxUnreachable:
                return False
        assert isinstance(event, Exited)
        assert event.code == 0
        return True


async def reopened(run: Sandbox) -> Channel:
    """Open another channel, as soon as the API server is back."""
    async with asyncio.timeout(120):
        while True:
            try:
                return await Channel.open(await run.backend.stream(run.ref))
            except SandboxError as error:
                if isinstance(error, SandboxGone):
                    raise
                await asyncio.sleep(0.2)
