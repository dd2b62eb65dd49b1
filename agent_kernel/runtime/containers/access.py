"""What a container may reach, and how that gets to its sandbox: at its start, and at every attachment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from agent_kernel.errors import CapabilityMissing
from agent_kernel.sandboxes.base import Backend, SandboxRef, SandboxSpec
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.egress import Access
from agent_kernel.store.records import ContainerRow

AccessSource = Callable[[ContainerRow], Access]
"""Returns what a container may reach. It is asked at every start of its sandbox and at every attachment."""


def no_access(row: ContainerRow) -> Access:
    """Return an access to nothing: no network inside, and a host that refuses every connection."""
    return Access()


def with_network(spec: SandboxSpec, access: Access, backend: Backend) -> SandboxSpec:
    """Return the request with the network of `access`. Raises `CapabilityMissing` where there can be none."""
    if access.network is not None and not backend.capabilities().network:
        raise CapabilityMissing(f"{backend.name} sandboxes cannot have a network.")
    return replace(spec, network=access.network)


async def attached(backend: Backend, ref: SandboxRef, access: Access) -> Channel:
    """Open a channel to a sandbox. `access` decides about its connections while the channel is open."""
    return await Channel.open(await backend.stream(ref), access.egress)
