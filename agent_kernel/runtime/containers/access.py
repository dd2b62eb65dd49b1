"""The network that a container's sandbox gets at its start."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from agent_kernel.errors import CapabilityMissing, InvalidRequest, SandboxFileError
from agent_kernel.runtime.network.policy import FIELD
from agent_kernel.sandboxes.base import Backend, SandboxSpec
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.network import Network


def with_network(spec: SandboxSpec, network: Network | None, backend: Backend) -> SandboxSpec:
    """Return the request with a network. Raises `CapabilityMissing` where there can be none."""
    if network is not None and not backend.capabilities().network:
        raise CapabilityMissing(f"{backend.name} sandboxes cannot have a network.")
    return replace(spec, network=network)


async def open_ports(channel: Channel, ports: Iterable[int]) -> None:
    """Make more ports transparent in a sandbox that runs, all or none.

    Raises `InvalidRequest` if one cannot be taken: a program inside may have it.
    """
    try:
        await channel.listen(ports)
    except SandboxFileError as error:
        raise InvalidRequest(
            f"A port cannot be opened in the container. {error.message}",
            hint="End the program in the container that uses the port, or create a new container.",
            param=FIELD,
        ) from error
