"""Hosts and sandboxes of different releases: the handshake refuses them and says what to do."""

from __future__ import annotations

import asyncio

import pytest

from agent_kernel.errors import ChannelBroken
from agent_kernel.sandboxes.boxd import wire
from agent_kernel.sandboxes.channel import Channel
from tests.sandboxes.inside import Sandbox


@pytest.mark.slow_on_gvisor
async def test_an_older_host_is_refused(run: Sandbox) -> None:
    """A host of version 1 greets, and calls at once; boxd answers with nothing but the error."""
    stream = await run.backend.stream(run.ref)
    await stream.write(wire.message(wire.HELLO, 0, {"version": 1}))
    received: list[tuple[int, int, bytes]] = []
    decoder = wire.Decoder()
    async with asyncio.timeout(30):
        while not received:
            received += decoder.feed(await stream.read(1 << 16))
    await stream.aclose()
    ((kind, channel, payload),) = received
    assert (kind, channel) == (wire.ERROR, 0)
    text = wire.parse_json(payload)["message"]
    assert "sandbox speaks version 2" in text
    assert "host speaks version 1" in text
    assert "create a new container" in text
    assert (await run("echo on")).stdout == b"on\n"


class OldBoxd:
    """The stream of a boxd of version 1: it greets first, and refuses another version."""

    def __init__(self) -> None:
        self._says = [
            wire.message(wire.HELLO, 0, {"version": 1}),
            wire.message(wire.ERROR, 0, {"code": "protocol", "message": "boxd speaks version 1"}),
        ]

    async def read(self, limit: int) -> bytes:
        return self._says.pop(0) if self._says else b""

    async def write(self, data: bytes | memoryview) -> None:
        return

    async def aclose(self) -> None:
        return


async def test_an_older_sandbox_is_refused() -> None:
    with pytest.raises(ChannelBroken, match=r"speaks version 1 .* speaks version 2") as caught:
        await Channel.open(OldBoxd())
    assert "Create a new container" in (caught.value.hint or "")
