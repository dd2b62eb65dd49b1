"""What a container may reach, and how that gets to its sandbox: at its start, and at every attachment."""

from __future__ import annotations

from dataclasses import replace

from agent_kernel.errors import CapabilityMissing
from agent_kernel.sandboxes.base import Backend, SandboxRef, SandboxSpec
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.egress import Access
from agent_kernel.sandboxes.network import Network


def with_network(spec: SandboxSpec, network: Network | None, backend: Backend) -> SandboxSpec:
    """Return the request with a network. Raises `CapabilityMissing` where there can be none."""
    if network is not None and not backend.capabilities().network:
        raise CapabilityMissing(f"{backend.name} sandboxes cannot have a network.")
    return replace(spec, network=network)


async def attached(backend: Backend, ref: SandboxRef, access: Access) -> Channel:
    """Open a channel to a sandbox. `access` decides about its connections while the channel is open."""
    return await Channel.open(await backend.stream(ref), access.egress)
