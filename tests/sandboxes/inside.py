"""A sandbox under test: commands as calls, files as chunks, and what several suites ask of it."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

from agent_kernel.sandboxes.base import Backend, SandboxRef, SandboxSpec
from agent_kernel.sandboxes.channel import Channel, Exited, Output, TimedOut
from agent_kernel.sandboxes.optional import Snapshot, snapshots_of


@dataclass
class Done:
    """A finished command."""

    outcome: Exited | TimedOut
    stdout: bytes
    stderr: bytes

    @property
    def code(self) -> int:
        assert isinstance(self.outcome, Exited)
        return self.outcome.code


@dataclass
class Sandbox:
    """A sandbox under test, with the channel into it."""

    backend: Backend
    ref: SandboxRef
    channel: Channel

    async def __call__(self, command: str, timeout: float | None = 60) -> Done:
        printed = {"stdout": bytearray(), "stderr": bytearray()}
        async for event in self.channel.run(command, timeout=timeout):
            if isinstance(event, Output):
                printed[event.stream] += event.data
            else:
                return Done(event, bytes(printed["stdout"]), bytes(printed["stderr"]))
        raise AssertionError("a command ended without an outcome")


def new_id() -> str:
    return f"test-{secrets.token_hex(6)}"


@contextlib.asynccontextmanager
async def started(backend: Backend, **fields: object) -> AsyncIterator[Sandbox]:
    ref = await backend.create(SandboxSpec(new_id(), **fields))  # type: ignore[arg-type]
    try:
        channel = await Channel.open(await backend.stream(ref))
        sandbox = Sandbox(backend, ref, channel)
        try:
            yield sandbox
        finally:
            await channel.aclose()
            await sandbox.channel.aclose()  # another one by then, if the test has come back to it
    finally:
        await backend.delete(ref)


async def short_lease(backend: Backend) -> float:
    """Return seconds for a lease that a test waits for: longer than this engine takes to open a stream."""
    slow = backend.name == "kubernetes" or "Podman" in (await backend.probe()).detail
    return 5.0 if slow else 0.5


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def next_job(run: Sandbox) -> int:
    """Return the number that boxd will give to the next command."""
    return int((await run("echo $AGENT_KERNEL_JOB")).stdout) + 1


async def sleepers(run: Sandbox, seconds: str) -> int:
    """How many processes inside sleep for a number of seconds that begins like this."""
    return int((await run(f"grep -alE '[s]leep.{seconds}' /proc/[0-9]*/cmdline 2>/dev/null | wc -l")).stdout)


async def checkpoint(run: Sandbox, **labels: str) -> Snapshot:
    await run.channel.save_shell()
    await run.channel.pause()
    try:
        return await snapshots_of(run.backend).checkpoint(run.ref, new_id(), labels)
    finally:
        await run.channel.wake()
