"""A sandbox that says nothing: one that works is waited for, one that was stopped is not."""

from __future__ import annotations

import asyncio

import pytest

from agent_kernel.errors import SandboxGone, SandboxUnreachable
from agent_kernel.sandboxes import idle_timeout as silence
from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.channel import Channel, Exited
from agent_kernel.sandboxes.docker.backend import DockerBackend
from tests.sandboxes.docker.sandbox import pause
from tests.sandboxes.inside import started


async def test_a_silent_command_is_waited_for(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "SILENCE", 0.1)
    async with started(backend) as run:
        asked = 0
        ping = run.channel._connection._ping

        async def counted() -> None:
            nonlocal asked
            await ping()
            asked += 1

        run.channel._connection._silence._ask = counted
        assert (await run("sleep 1")).outcome == Exited(0)
        assert asked > 0
        assert (await run("echo on")).stdout == b"on\n"


@pytest.mark.docker
async def test_command_that_stops_boxd_fails_and_is_removed(
    docker_runsc_backend: DockerBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "SILENCE", 0.5)
    async with started(docker_runsc_backend) as run:
        monkeypatch.setattr(silence, "ANSWER_TIMEOUT", 1.0)
        async with asyncio.timeout(60):
            with pytest.raises(SandboxUnreachable, match="stopped answering") as caught:
                await run("kill -STOP 1; sleep 1000", timeout=1)
        assert caught.value.hint
        await run.channel.closed.wait()
        with pytest.raises(SandboxUnreachable):
            await run("true")
        await docker_runsc_backend.delete(run.ref)
        with pytest.raises(SandboxGone):
            await docker_runsc_backend.get(run.ref.id)


@pytest.mark.docker
async def test_paused_container_is_unreachable_until_resumed(
    docker_backend: DockerBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = await docker_backend._engine.api()
    monkeypatch.setattr(silence, "SILENCE", 0.5)
    async with started(docker_backend) as run:
        name = f"agent-kernel-{run.ref.id}"
        await run("KEPT=1")
        await pause(docker_backend, run.ref.id)
        monkeypatch.setattr(silence, "ANSWER_TIMEOUT", 1.0)
        try:
            async with asyncio.timeout(60):
                with pytest.raises(SandboxUnreachable, match="stopped answering"):
                    await run("true")
        finally:
            monkeypatch.undo()
            await asyncio.to_thread(api.unpause, name)
        run.channel = await Channel.open(await docker_backend.stream(run.ref))
        assert (await run("echo $KEPT")).stdout == b"1\n"
