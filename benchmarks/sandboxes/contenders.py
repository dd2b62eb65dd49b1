"""What is compared: one way each to have a sandbox and to run commands in it.

A contender starts a sandbox, runs commands, takes a file and goes away. What it cannot do it says in words
(`CannotError`), and the table prints them.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Any

from agent_kernel.sandboxes.base import WORKSPACE, Backend, SandboxRef, SandboxSpec
from agent_kernel.sandboxes.channel import Channel, Exited, Output
from agent_kernel.sandboxes.optional import snapshots_of
from benchmarks import warm_pool

IMAGE = "agent-kernel/toolbox:1"
"""Every contender runs on our image: nothing is pulled, and the programs inside are the same."""

CHANGE = f"head -c 1000000 /dev/urandom > {WORKSPACE}/change"
"""The small change that is checkpointed."""

PREFIX = f"bench-{os.getpid()}"
_numbers = itertools.count(1)


class CannotError(Exception):
    """A contender does not have what is measured; the words go into the table."""


class Contender(ABC):
    """One sandbox at a time: `start`, then anything, then `stop`."""

    name: str

    @abstractmethod
    async def start(self, snapshot: str | None = None) -> None:
        """Return when a command can be run; begin with a checkpoint where one is named."""

    @abstractmethod
    async def run(self, command: str) -> None:
        """Run one command line to its end. Raises `RuntimeError` unless its status is 0."""

    async def print_bytes(self, amount: int) -> None:
        """Receive that many bytes of output."""
        await self.run(f"head -c {amount} /dev/zero")

    async def upload(self, source: Path, target: str) -> None:
        """Copy a file of this machine to an absolute path inside."""
        raise CannotError("no upload")

    async def checkpoint(self) -> str:
        """Keep the files and name them, for `start`."""
        raise CannotError("no checkpoint")

    async def drop(self, snapshot: str) -> None:
        """Remove a checkpoint."""
        raise CannotError("no checkpoint")

    async def from_pool(self, rounds: int) -> list[float]:
        """Milliseconds, each from asking for a sandbox that was made in advance to a first command's end."""
        raise CannotError("no warm pool")

    async def process(self) -> int:
        """The pid, on this machine, of the sandbox's process 1."""
        raise CannotError("not looked at")

    @abstractmethod
    async def stop(self) -> None:
        """Remove the sandbox, as fast as can be. Idempotent."""

    def another(self) -> Contender | None:
        """Return one more sandbox of the same server or backend; None if these are apart anyway."""
        return None

    async def aclose(self) -> None:  # noqa: B027 (most hold nothing)
        """Let go of what is shared between sandboxes."""

    @contextlib.asynccontextmanager
    async def running(self, snapshot: str | None = None) -> AsyncIterator[None]:
        """A sandbox for the time of a with statement."""
        try:
            await self.start(snapshot)
            yield
        finally:
            await self.stop()


class Ours(Contender):
    """Our own: boxd behind one stream, under either backend."""

    def __init__(self, backend: Backend) -> None:
        self.name = f"agent-kernel, {backend.name}"
        self.backend = backend
        self._ref: SandboxRef | None = None
        self._channel: Channel | None = None

    @property
    def channel(self) -> Channel:
        """The way into the running sandbox."""
        assert self._channel is not None
        return self._channel

    async def start(self, snapshot: str | None = None) -> None:
        self._ref = await self.backend.create(SandboxSpec(new_name(), snapshot=snapshot))
        self._channel = await Channel.open(await self.backend.stream(self._ref))

    async def run(self, command: str) -> None:
        async for event in self.channel.run(command):
            if not isinstance(event, Output):
                check(event.code if isinstance(event, Exited) else 1, command)

    async def upload(self, source: Path, target: str) -> None:
        with source.open("rb") as file:
            await self.channel.put(target, _pieces(file))

    async def checkpoint(self) -> str:
        assert self._ref is not None
        await self.channel.save_shell()
        await self.channel.pause()
        try:
            return (await snapshots_of(self.backend).checkpoint(self._ref, new_name(), {})).id
        finally:
            await self.channel.wake()

    async def drop(self, snapshot: str) -> None:
        await snapshots_of(self.backend).remove_snapshot(snapshot)

    async def from_pool(self, rounds: int) -> list[float]:
        return await warm_pool.from_pool(self.backend, rounds)

    async def stop(self) -> None:
        if self._channel is not None:
            await self._channel.aclose()
        if self._ref is not None:
            await self.backend.delete(self._ref)
        self._channel = self._ref = None

    async def aclose(self) -> None:
        await self.backend.aclose()


class OursInDocker(Ours):
    """The Docker backend."""

    def another(self) -> OursInDocker:
        return OursInDocker(self.backend)

    async def process(self) -> int:
        assert self._ref is not None
        return await container_process(f"agent-kernel-{self._ref.id}")


class OursInBubblewrap(Ours):
    """The embedded backend; `folder` is its data folder."""

    def __init__(self, backend: Backend, folder: Path) -> None:
        super().__init__(backend)
        self._folder = folder

    def another(self) -> OursInBubblewrap:
        return OursInBubblewrap(self.backend, self._folder)

    async def process(self) -> int:
        assert self._ref is not None
        started = self._folder / "sandboxes" / self._ref.id / "process.json"
        return int(json.loads(started.read_text())["pid"])


class DockerCli(Contender):
    """`docker run`, `docker exec`, `docker cp`, `docker commit`: what everybody has."""

    name = "docker exec"

    def __init__(self) -> None:
        self._container: str | None = None

    async def start(self, snapshot: str | None = None) -> None:
        self._container = new_name()
        image = snapshot or IMAGE
        await program("docker", "run", "--detach", "--name", self._container, image, "sleep", "infinity")

    async def run(self, command: str) -> None:
        await program("docker", "exec", self._name(), "bash", "-c", command)

    async def print_bytes(self, amount: int) -> None:
        piped = f"docker exec {self._name()} head -c {amount} /dev/zero | cat > /dev/null"
        await program("bash", "-c", piped)

    async def upload(self, source: Path, target: str) -> None:
        await program("docker", "cp", str(source), f"{self._name()}:{target}")

    async def checkpoint(self) -> str:
        tag = f"{PREFIX}/snapshot:{next(_numbers)}"
        await program("docker", "commit", self._name(), tag)
        return tag

    async def drop(self, snapshot: str) -> None:
        await program("docker", "rmi", snapshot)

    async def process(self) -> int:
        return await container_process(self._name())

    async def stop(self) -> None:
        container, self._container = self._container, None
        if container is not None:
            await program("docker", "rm", "--force", "--volumes", container)

    def _name(self) -> str:
        assert self._container is not None
        return self._container


class DockerPy(DockerCli):
    """docker-py's `containers.run` and `exec_run`: one HTTP connection, and an exec per command."""

    name = "docker-py exec_run"

    def __init__(self) -> None:
        super().__init__()
        import docker

        self._client = docker.from_env()

    async def start(self, snapshot: str | None = None) -> None:
        self._container = new_name()
        await asyncio.to_thread(
            self._client.containers.run,
            snapshot or IMAGE,
            ["sleep", "infinity"],
            name=self._container,
            detach=True,
        )

    async def run(self, command: str) -> None:
        done = await asyncio.to_thread(self._exec, ["bash", "-c", command])
        check(done.exit_code, command)

    async def print_bytes(self, amount: int) -> None:
        def drain() -> None:
            for _ in self._exec(["head", "-c", str(amount), "/dev/zero"], stream=True).output:
                pass

        await asyncio.to_thread(drain)

    async def upload(self, source: Path, target: str) -> None:
        raise CannotError("tar by hand (put_archive)")

    async def checkpoint(self) -> str:
        raise CannotError("as docker commit")

    def _exec(self, argv: list[str], stream: bool = False) -> Any:
        return self._client.containers.get(self._name()).exec_run(argv, stream=stream)

    async def aclose(self) -> None:
        await asyncio.to_thread(self._client.close)


def new_name() -> str:
    """A name that nobody has."""
    return f"{PREFIX}-{next(_numbers)}"


def check(status: int, command: str) -> None:
    """Raise `RuntimeError` for a command that failed: a figure of something else is no figure."""
    if status:
        raise RuntimeError(f"{command[:60]!r} ended with status {status}")


async def program(*argv: str) -> bytes:
    """Run a program of this machine and return its output. Raises `RuntimeError` with its last words."""
    with tempfile.TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE, stderr=errors)
        output, _ = await process.communicate()
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(f"{' '.join(argv[:2])}: {errors.read(300).decode(errors='replace').strip()}")
    return output


async def container_process(container: str) -> int:
    """The pid of a container's process 1 on this machine."""
    return int(await program("docker", "inspect", "--format", "{{.State.Pid}}", container))


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    while piece := file.read(1 << 18):
        yield piece
