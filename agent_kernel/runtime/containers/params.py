"""Check `ContainerCreateParams`, and the same fields of a `container_auto` environment."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.egress.tls.secrets import DomainSecret
from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.params import CONTAINER_FIELD
from agent_kernel.protocol.validation import check
from agent_kernel.runtime.containers.resources import Resources
from agent_kernel.runtime.network.policy import FIELD as NETWORK_FIELD
from agent_kernel.runtime.network.policy import read_policy
from agent_kernel.runtime.network.secrets import FIELD as SECRETS
from agent_kernel.runtime.network.secrets import read_secrets

_FIELDS = ("name", "expires_after", "memory_limit", CONTAINER_FIELD)


@dataclass(frozen=True)
class ContainerParams:
    """A request for a container that passed all checks. `minutes`: without use, until it expires."""

    name: str
    minutes: int | None
    memory_limit: str | None
    resources: Resources
    network: NetworkPolicy | None = None
    """As the request has it, not yet within the operator's bound. None: the request does not say."""
    secrets: tuple[DomainSecret, ...] = ()


def new_id() -> str:
    """Make an id for a container and its sandbox."""
    return f"cntr_{secrets.token_hex(16)}"


def check_params(params: Mapping[str, Any], *, where: str = "") -> ContainerParams:
    """Check a request for a container; `where` goes before the parameter's name in errors.

    Absent, null and empty all mean the default. Raises `InvalidRequest`.
    """
    for unserved in ("file_ids", "skills"):
        if params.get(unserved):
            raise InvalidRequest(
                f"{unserved} is not supported here.",
                hint="Create the container with POST /v1/containers.",
                param=where + unserved,
            )
    given = {name: params.get(name) or None for name in _FIELDS}
    check("ContainerCreateParams", given, where.removesuffix("."))
    policy = params.get(NETWORK_FIELD)
    network: NetworkPolicy | None = None
    found: tuple[DomainSecret, ...] = ()
    if policy is not None:
        network = read_policy(policy, where + NETWORK_FIELD)
        found = read_secrets(policy.get(SECRETS), network, f"{where}{NETWORK_FIELD}.{SECRETS}")
    expires_after = given["expires_after"] or {}
    resources = Resources.read(given[CONTAINER_FIELD])
    return ContainerParams(
        given["name"] or "", expires_after.get("minutes"), given["memory_limit"], resources, network, found
    )
