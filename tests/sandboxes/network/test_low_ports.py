"""Ports below 1024 on bubblewrap: opened from the host, and refused in clear words where that fails."""

from __future__ import annotations

import os

import pytest

from agent_kernel.errors import SandboxStartFailed
from agent_kernel.sandboxes.base import SandboxSpec
from agent_kernel.sandboxes.bubblewrap import start
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.bubblewrap.low_ports import open_low_ports
from agent_kernel.sandboxes.network import Network
from tests.sandboxes.inside import new_id, started


@pytest.mark.parametrize("ports", [(443,), (5432, 8443)])
async def test_closed_low_ports_end_the_start(
    bubblewrap_backend: BubblewrapBackend, monkeypatch: pytest.MonkeyPatch, ports: tuple[int, ...]
) -> None:
    monkeypatch.setattr(start, "open_low_ports", lambda pid: None)
    with pytest.raises(SandboxStartFailed, match=r"port 53 cannot be taken \(Permission denied\)"):
        await bubblewrap_backend.create(SandboxSpec(new_id(), network=Network(ports)))
    assert await bubblewrap_backend.list() == []


async def test_network_of_the_proxy_alone_needs_no_low_port(
    bubblewrap_backend: BubblewrapBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "open_low_ports", lambda pid: pytest.fail("called"))
    async with started(bubblewrap_backend, network=Network(())) as run:
        assert (await run("tail -n +2 /proc/net/tcp | wc -l")).stdout.split() == [b"1"]


def test_process_that_has_ended_is_an_error() -> None:
    ended = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(ended, 0)
    with pytest.raises(SandboxStartFailed, match="ports could not be opened"):
        open_low_ports(ended)
