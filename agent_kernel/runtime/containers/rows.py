"""The rows of containers: made from requests and checkpoints, and shown as resources of the API."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from openai.types import ContainerCreateResponse

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.params import CONTAINER_FIELD
from agent_kernel.runtime.containers.checkpoints import (
    MEMORY_LABEL,
    NAME_LABEL,
    NETWORK_LABEL,
    RESOURCES_LABEL,
    container_of,
    lost_shell,
)
from agent_kernel.runtime.containers.lifecycle import Lifecycle
from agent_kernel.runtime.containers.params import ContainerParams, check_params, new_id
from agent_kernel.runtime.containers.resources import Resources, shown
from agent_kernel.runtime.network import policy as network_policy
from agent_kernel.sandboxes.optional import Snapshot
from agent_kernel.store.records import ContainerRow

_KEPT = {"name": NAME_LABEL, "memory_limit": MEMORY_LABEL}


async def new_row(lifecycle: Lifecycle, asked: ContainerParams, tenant: str) -> ContainerRow:
    """Return the row of a new container. Raises as `Containers.create`."""
    backend, settings = await lifecycle.engine(), lifecycle.settings
    if asked.memory_limit is not None and not backend.capabilities().memory_limit:
        raise InvalidRequest(
            f"The {backend.name} sandbox cannot limit memory here.",
            hint="Leave memory_limit out, or run with AGENT_KERNEL_SANDBOX=docker.",
            param="memory_limit",
        )
    now = time.time()
    return ContainerRow(
        id=new_id(),
        name=asked.name,
        backend=backend.name,
        created_at=now,
        last_active_at=now,
        expires_after=asked.minutes or settings.expires_after,
        status="creating",
        memory_limit=lifecycle.memory_limit(backend, asked.memory_limit),
        tenant=tenant,
        resources=(await settings.allowed.resolve(asked.resources, backend)).as_json(),
        network=(await lifecycle.networks.new(asked.network, asked.secrets, backend)).as_json(),
    )


async def asked_like(lifecycle: Lifecycle, snapshot: Snapshot) -> ContainerParams:
    """Return the request for a container like the one that a checkpoint is of, within today's bounds."""
    params: dict[str, Any] = {name: snapshot.labels.get(label) for name, label in _KEPT.items()}
    earlier = Resources.read(shown(snapshot.labels.get(RESOURCES_LABEL, "")))
    params[CONTAINER_FIELD] = lifecycle.settings.allowed.within(earlier).given()
    earlier_network = snapshot.labels.get(NETWORK_LABEL, "")
    bound = await lifecycle.networks.bound.known()
    params[network_policy.FIELD] = network_policy.restored(earlier_network, bound)
    secrets = network_policy.kept(earlier_network).within(bound).secrets
    known = lifecycle.networks.secrets.known(container_of(snapshot), secrets)
    return replace(check_params(params), secrets=known)


async def resource(
    lifecycle: Lifecycle, row: ContainerRow, *, whole: bool = False
) -> ContainerCreateResponse:
    """Return a container as the API shows it; if it has expired, with what is kept of it if `whole`."""
    ours: dict[str, Any] = {"sandbox": row.backend, **shown(row.resources)}
    if whole and row.status == "expired":
        snapshot = await lifecycle.checkpoints.of_expired(row.id)
        ours["kept"] = "nothing" if snapshot is None else "files" if lost_shell(snapshot) else "all"
    backend, bound = lifecycle.opened, await lifecycle.networks.bound.known()
    policy = network_policy.in_effect(row.network, bound)
    if (known := network_policy.standard(policy)) != policy:
        ours["network_policy"] = policy
    if backend is not None and backend.name == row.backend:
        able = backend.capabilities()
        images = {"image": able.image, "image_digest": able.image_digest}
        ours |= {"isolation": able.isolation} | {name: value for name, value in images.items() if value}
    return ContainerCreateResponse.model_validate(
        {
            "id": row.id,
            "object": "container",
            "name": row.name,
            "created_at": int(row.created_at),
            "last_active_at": int(row.last_active_at),
            "status": "running" if row.status in ("restoring", "saving") else row.status,
            "expires_after": {"anchor": "last_active_at", "minutes": row.expires_after},
            "memory_limit": row.memory_limit,
            "network_policy": known,
            "agent_kernel": ours,
        }
    )
