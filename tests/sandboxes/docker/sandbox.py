"""What the tests of the Docker backend share: names of this run, and a command in a sandbox, and a pause."""

from __future__ import annotations

import asyncio
import os
import uuid

import docker

from agent_kernel.sandboxes.base import SandboxRef, SandboxSpec
from agent_kernel.sandboxes.channel import Channel, Exited, Output
from agent_kernel.sandboxes.docker.backend import DockerBackend

RUN = f"test-docker-{os.getpid()}"


def new_spec(**labels: str) -> SandboxSpec:
    return SandboxSpec(f"{RUN}-{uuid.uuid4().hex[:12]}", labels, memory=512 << 20, pids=64, lease=60)


async def run(backend: DockerBackend, ref: SandboxRef, command: str) -> tuple[str, int]:
    """Standard output and exit code of a command in the sandbox."""
    channel = await Channel.open(await backend.stream(ref))
    output, code = b"", -1
    async for event in channel.run(command):
        if isinstance(event, Output) and event.stream == "stdout":
            output += event.data
        elif isinstance(event, Exited):
            code = event.code
    await channel.aclose()
    return output.decode(), code


async def pause(backend: DockerBackend, sandbox: str) -> None:
    """Pause the container of a sandbox.

    runc gives up after a number of attempts to freeze it, which happens on a busy machine: the engine answers
    with an error then, and is asked again.
    """
    api = await backend._engine.api()
    for attempt in range(10):
        try:
            await asyncio.to_thread(api.pause, f"agent-kernel-{sandbox}")
        except docker.errors.APIError as error:
            if attempt == 9 or "unable to freeze" not in str(error):
                raise
        else:
            return
