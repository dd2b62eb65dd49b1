"""Garbage for a real boxd: it never hangs, never dies, and serves the next host."""

from __future__ import annotations

import asyncio
import random

import pytest

from agent_kernel.sandboxes.base import Backend, ByteStream, SandboxSpec
from agent_kernel.sandboxes.boxd import wire
from agent_kernel.sandboxes.channel import Channel, Exited, Output

HELLO = wire.hello(["connect"])


def garbage(chance: random.Random) -> bytes:
    """A greeting or none, then calls, frames and bytes, well-formed or not."""
    methods = [
        "run",
        "watch",
        "put",
        "get",
        "stat",
        "list",
        "changes",
        "remove",
        "terminal",
        "dial",
        "reset",
        "renew",
        "variables",
        "commands",
        "nothing",
        7,
    ]
    values: list[object] = [None, 0, -1, 2**70, "x", "/mnt/data/x", "\0", [], {}, True, 1.5]
    names = ["command", "path", "timeout", "job", "name", "offset", "rows", "columns", "since"]
    names += ["within", "digest", "values"]
    parts = [HELLO] if chance.random() < 0.9 else []
    kinds = chance.choice([[0], [0, 1, 2, 3]])  # calls with wrong arguments alone, or all of it
    for number in range(1, chance.randrange(2, 12)):
        channel = number if kinds == [0] else chance.choice([0, 1, 2, 2**32 - 1])
        match chance.choice(kinds):
            case 0:
                arguments = {name: chance.choice(values) for name in chance.sample(names, 4)}
                call = {"method": chance.choice(methods), **arguments}
                parts.append(wire.message(wire.CALL, channel, call))
            case 1:
                kind = chance.choice(sorted(wire.KINDS - {wire.CALL}))
                parts.append(wire.frame(kind, channel, chance.randbytes(chance.randrange(12))))
            case 2:
                parts.append(wire.frame(wire.EVENT, channel, b'{"rows": "x", "columns": null}'))
            case _:
                parts.append(chance.randbytes(chance.randrange(40)))
    return b"".join(parts)


@pytest.mark.slow_on_gvisor
@pytest.mark.parametrize(
    "rounds", [25, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
async def test_boxd_survives_garbage(backend: Backend, rounds: int) -> None:
    ref = await backend.create(SandboxSpec(f"fuzz-{backend.name}"))
    try:
        chance = random.Random(1729)
        for _ in range(rounds):
            await play(await backend.stream(ref), garbage(chance))
        channel = await Channel.open(await backend.stream(ref))
        async with asyncio.timeout(30):
            await channel.reset()
            assert [event async for event in channel.run("echo on")] == [Output("stdout", b"on\n"), Exited(0)]
        await channel.aclose()
    finally:
        await backend.delete(ref)


async def play(stream: ByteStream, content: bytes) -> None:
    """Send it all, read the first answer if there was a greeting, and leave."""
    async with asyncio.timeout(30):
        await stream.write(content)
        if content.startswith(HELLO):
            assert await stream.read(1 << 16)
    await stream.aclose()
