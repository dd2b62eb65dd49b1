"""Which addresses a turn may read outside its container."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from agent_kernel.egress.names import UnusableName, canonical, literal
from agent_kernel.policy.rules import Policy, strictest_about_host
from agent_kernel.runtime.network.policy import read_policy

PolicyOf = Callable[[], Awaitable[Mapping[str, Any] | None]]
"""Returns the network policy in effect in the turn's container; None without a container."""


async def connect_refusal(policies: Sequence[Policy], policy_of: PolicyOf, url: str) -> str | None:
    """Return why a turn may not read what is at an address, as a sentence; None if it may.

    Rules for hosts that deny or ask apply, and the allowlist of the turn's container, if it has one.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        host = canonical(parts.hostname or "")
    except UnusableName as error:
        address = literal(parts.hostname or "")
        if address is None:
            return f"Its host cannot be used: {error}."
        host = str(address)
    verdict = strictest_about_host(policies, host, port)
    if verdict is not None and verdict.action != "allow":
        return verdict.reason
    policy = await policy_of()
    if policy is None or policy.get("type") != "allowlist":
        return None
    if read_policy({**policy, "domain_secrets": None}).decide(host, port).rule is not None:
        return None
    return f"The network policy of this turn's container does not allow {host}."
