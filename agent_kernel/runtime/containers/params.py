"""What a container may be asked for: the checks of `ContainerCreateParams` and of `container_auto`."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent_kernel.errors import InvalidRequest

MEMORY_LIMITS = {"1g": 1 << 30, "4g": 4 << 30, "16g": 16 << 30, "64g": 64 << 30}
"""The API's words, in bytes."""


@dataclass(frozen=True)
class ContainerParams:
    """A request for a container, checked."""

    name: str
    minutes: int | None
    memory_limit: str | None


def new_id() -> str:
    """Make an id for a container and its sandbox."""
    return f"cntr_{secrets.token_hex(16)}"


def check_params(params: Mapping[str, Any], *, where: str = "") -> ContainerParams:
    """Check what a container may be asked for; `where` goes before the parameter's name in errors.

    Absent, null and empty all mean the default. Raises `InvalidRequest`.
    """
    for unserved in ("file_ids", "skills"):
        if params.get(unserved):
            raise InvalidRequest(
                f"{unserved} is not served here.",
                hint="Make the container with POST /v1/containers.",
                param=where + unserved,
            )
    policy = params.get("network_policy")
    if policy and not (isinstance(policy, Mapping) and policy.get("type") == "disabled"):
        raise InvalidRequest(
            "Containers here have no network; only network_policy {'type': 'disabled'} is served.",
            param=where + "network_policy",
        )
    memory_limit = params.get("memory_limit") or None
    if memory_limit is not None and memory_limit not in MEMORY_LIMITS:
        raise InvalidRequest(
            f"memory_limit must be one of {', '.join(MEMORY_LIMITS)}.", param=where + "memory_limit"
        )
    name = params.get("name") or ""
    if not isinstance(name, str) or len(name) > 256:
        raise InvalidRequest("name must be a string of at most 256 characters.", param=where + "name")
    return ContainerParams(name, _minutes(params.get("expires_after"), where), memory_limit)


def _minutes(expires_after: object, where: str) -> int | None:
    if not expires_after:
        return None
    if isinstance(expires_after, Mapping) and expires_after.get("anchor") == "last_active_at":
        minutes = expires_after.get("minutes")
        if isinstance(minutes, int) and not isinstance(minutes, bool) and 1 <= minutes <= 7 * 24 * 60:
            return minutes
    raise InvalidRequest(
        "expires_after must be {'anchor': 'last_active_at', 'minutes': a whole number from 1 to 10080}.",
        param=where + "expires_after",
    )
