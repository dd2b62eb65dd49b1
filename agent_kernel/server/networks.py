"""The network policy of containers: an extension of `/v1/containers`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agent_kernel.errors import NotFound
from agent_kernel.runtime.network.base import NetworkedContainers
from agent_kernel.server.pages import answer, path, runtime_of
from agent_kernel.server.uploads import read_json


async def retrieve_bound(request: Request) -> Response:
    """Return the operator's policy, the most that a container's policy may allow."""
    return JSONResponse(dict(await _containers(request).network_bound()))


async def retrieve_network(request: Request) -> Response:
    """Return a container's policy, and what its programs used and were refused."""
    report = await _containers(request).network(path(request, "container_id"))
    return JSONResponse({"object": "agent_kernel.network", **report.to_json()})


async def update_network(request: Request) -> Response:
    """Replace a container's policy. The body is a `network_policy`."""
    policy = await read_json(request)
    return answer(await _containers(request).set_network(path(request, "container_id"), policy))


def _containers(request: Request) -> NetworkedContainers:
    containers = runtime_of(request).containers
    if not isinstance(containers, NetworkedContainers):
        raise NotFound("This server does not show the network of containers.")
    return containers
