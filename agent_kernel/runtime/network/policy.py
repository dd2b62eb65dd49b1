"""The network policy of one container: read from a request, kept in its row, bounded by the operator's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from agent_kernel.egress.policy import PARAM, NetworkPolicy, NetworkRule
from agent_kernel.egress.tls.secrets import DomainSecret
from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.validation import shortened
from agent_kernel.runtime.network.secrets import declared, of_declared, without_values
from agent_kernel.sandboxes.network import MOST_PORTS, RESERVED, Network

FIELD = "network_policy"
_LISTED = 50
"""Allowed hosts that a model reads."""

_ALLOWED = "Programs in the container may connect to these hosts. All other connections are refused:"
_ASKED = (
    "When a program in the container connects to a host that is not allowed yet, a person may be asked, and"
    " the command waits. Its output says what was refused."
)
_ALLOWED_OR_ASKED = f"Programs in the container may connect to the hosts below. {_ASKED}"
_SECRETS = (
    "These variables hold placeholders of secrets. Use one in a header of an HTTPS request to its host, as a"
    " token or in Basic credentials: on its way out it is replaced by the secret. It works nowhere else:"
)
_READ_ONLY = (
    "`GET` before a host means that it may only be read: HTTP requests with other methods than GET, HEAD and"
    " OPTIONS are refused."
)
_FIELDS = ("type", "allowed_domains", "domain_secrets")


def read_policy(given: object, where: str = FIELD) -> NetworkPolicy:
    """Read the API's `network_policy`; `where` is its place in the request. Raises `InvalidRequest`.

    `disabled` is the policy without rules. The operator's bound is not applied. `read_secrets` reads the
    `domain_secrets`.
    """
    if not isinstance(given, Mapping):
        raise InvalidRequest(f"{where} must be an object.", param=where)  # it may hold a secret
    kind, domains = given.get("type"), given.get("allowed_domains")
    if kind not in ("disabled", "allowlist", "ask"):
        raise InvalidRequest(
            f"{where}.type must be disabled, allowlist or ask, not {shortened(kind)}.", param=f"{where}.type"
        )
    if unknown := sorted(str(name)[:64] for name in given if name not in _FIELDS):
        # A field that narrows the policy would be ignored: more would be open than requested.
        raise InvalidRequest(
            f"No such field: {where}.{unknown[0]}.",
            param=f"{where}.{unknown[0]}",
            code="unknown_parameter",
        )
    if kind == "allowlist":
        if not isinstance(domains, list | tuple):
            raise InvalidRequest(
                f"{where}.allowed_domains must be a list, not {shortened(domains)}.",
                param=f"{where}.allowed_domains",
            )
        return NetworkPolicy.parse(domains, param=f"{where}.allowed_domains")
    if kind == "ask":
        return NetworkPolicy.asking(domains if domains is not None else (), param=f"{where}.allowed_domains")
    if given.get("domain_secrets"):
        raise InvalidRequest(
            f"{where}.domain_secrets needs the type allowlist or ask.", param=f"{where}.domain_secrets"
        )
    if domains:
        raise InvalidRequest(
            f"{where}.allowed_domains needs the type allowlist or ask.", param=f"{where}.allowed_domains"
        )
    return NetworkPolicy()


@dataclass(frozen=True)
class ContainerNetwork:
    """A container's policy, and the transparent ports of its sandbox. `ports` None: it has no network.

    `secrets` have no values here.
    """

    policy: NetworkPolicy = NetworkPolicy()  # noqa: RUF009 (frozen)
    ports: tuple[int, ...] | None = None
    secrets: tuple[DomainSecret, ...] = ()

    @classmethod
    def new(
        cls, asked: NetworkPolicy | None, bound: NetworkPolicy, secrets: Iterable[DomainSecret] = ()
    ) -> ContainerNetwork:
        """Return the network of a new container within the operator's `bound`. Raises `InvalidRequest`.

        If the request does not say (None), the policy allows nothing, but the sandbox gets the operator's
        ports, so that hosts can be allowed later. `disabled` makes a sandbox without a network.
        """
        if not bound.rules if asked is None else not (asked.rules or asked.asks):
            return cls()
        policy = NetworkPolicy() if asked is None else bounded(asked, bound)
        both = tuple(sorted({*policy.ports, *(port for port in bound.ports if port not in RESERVED)}))
        network = cls(policy, both if len(both) <= MOST_PORTS else policy.ports, without_values(secrets))
        Network(network.ports or ()).check()
        return network

    @classmethod
    def of_json(cls, text: str) -> ContainerNetwork:
        """Return the network that a row or a label holds. Raises `ValueError` if it was damaged."""
        try:
            given = json.loads(text or "{}")
            if given == {}:
                return cls()
            ports = given["ports"]
            if not (ports is None or all(type(port) is int for port in ports)):
                raise ValueError("the ports are no numbers")
            secrets = of_declared(given.get("secrets", ()))
            return cls(
                NetworkPolicy.from_json(given["policy"]), None if ports is None else tuple(ports), secrets
            )
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"not the network of a container: {error}") from None

    def as_json(self) -> str:
        """Return the form for a row or a label."""
        if self == ContainerNetwork():
            return "{}"
        kept = {"policy": self.policy.to_json(), "ports": self.ports}
        return json.dumps({**kept, "secrets": declared(self.secrets)} if self.secrets else kept)

    def within(self, bound: NetworkPolicy) -> ContainerNetwork:
        """Return this network without the rules that the operator's policy no longer allows."""
        policy = within(self.policy, bound)
        return replace(
            self, policy=policy, secrets=tuple(each for each in self.secrets if policy.names(each.domain))
        )

    def reads(self, bound: NetworkPolicy) -> bool:
        """Whether connections may be limited to reading: by this policy, or by `bound` when it asks."""
        return self.policy.reads or (self.policy.asks and bound.reads)

    def changed(self, policy: NetworkPolicy, secrets: Iterable[DomainSecret] = ()) -> ContainerNetwork:
        """Return this network with another policy, and with the ports that it needs in addition.

        Raises `InvalidRequest` for ports that no listener can take, and for too many.
        """
        if not policy.rules and not policy.asks:
            return ContainerNetwork(policy, self.ports, without_values(secrets))
        if self.ports is None:
            raise InvalidRequest(
                "This container was created without a network.",
                hint="Create a new container with the network policy.",
                param=FIELD,
            )
        network = ContainerNetwork(
            policy, tuple(sorted({*self.ports, *policy.ports})), without_values(secrets)
        )
        Network(network.ports or ()).check()
        return network


def bounded(asked: NetworkPolicy, bound: NetworkPolicy, *, param: str = PARAM) -> NetworkPolicy:
    """Return a requested policy as it applies within the operator's. Raises `InvalidRequest`."""
    if asked.asks and not bound.rules:
        raise InvalidRequest(
            "The operator allows no network, so there is nothing to ask about.",
            hint="Name hosts in AGENT_KERNEL_NETWORK, or leave network_policy out.",
            param=f"{FIELD}.type",
        )
    return asked.narrowed(bound, param=param)


def within(policy: NetworkPolicy, bound: NetworkPolicy) -> NetworkPolicy:
    """Return a policy without the rules that `bound` does not allow."""
    allowed: list[NetworkRule] = []
    for rule in policy.rules:
        try:
            allowed += NetworkPolicy((rule,)).narrowed(bound).rules
        except InvalidRequest:
            continue
    return NetworkPolicy(tuple(allowed), asks=policy.asks and bool(bound.rules))


def in_effect(text: str, bound: NetworkPolicy) -> dict[str, Any]:
    """Return the policy in a row, as the API's `network_policy`.

    It has the rules that the operator's policy still allows; none if the row was damaged.
    """
    network = kept(text).within(bound)
    shown = network.policy.to_json()
    secrets = [{"domain": each.domain, "name": each.name} for each in network.secrets]
    return {**shown, "domain_secrets": secrets} if secrets else shown


def restored(text: str, bound: NetworkPolicy) -> dict[str, Any] | None:
    """Return the `network_policy` for a container that begins with a checkpoint, from the label's `text`.

    None if hosts can be allowed later; see `ContainerNetwork.new`.
    """
    earlier = kept(text).within(bound)
    empty = not earlier.policy.rules and not earlier.policy.asks
    return None if earlier.ports and empty else earlier.policy.to_json()


def keeps_answers(asked: NetworkPolicy, present: NetworkPolicy) -> bool:
    """Return whether a container's policy is that of a request and hosts that a person allowed since."""
    return asked.asks and present.asks and set(asked.rules) <= set(present.rules)


def standard(policy: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a `network_policy` as the standard's types know it: `ask` becomes its allowlist."""
    if policy["type"] != "ask":
        return policy
    domains = policy["allowed_domains"]
    return {**policy, "type": "allowlist"} if domains else {"type": "disabled"}


def with_network(instructions: str | None, policy: Mapping[str, Any]) -> str | None:
    """Return the request's instructions followed by the hosts of a `network_policy`."""
    if policy["type"] == "disabled":
        return instructions
    secrets = policy.get("domain_secrets", ())
    lines = [f"- {entry}" for entry in policy["allowed_domains"][:_LISTED]]
    read_only = any(entry.startswith("GET ") for entry in policy["allowed_domains"])
    if more := len(policy["allowed_domains"]) - _LISTED:
        lines += [f"- and {more} more"] if more > 0 else []
    heads = {"allowlist": [_ALLOWED], "ask": [_ALLOWED_OR_ASKED] if lines else [_ASKED]}
    lines += [_READ_ONLY] if read_only else []
    if secrets:
        lines += [_SECRETS, *(f"- ${each['name']} for {each['domain']}" for each in secrets)]
    listed = "\n".join(["# Network", *heads[policy["type"]], *lines])
    return f"{instructions}\n\n{listed}" if instructions else listed


def kept(text: str) -> ContainerNetwork:
    """Return the network in a row or a label; none if it was damaged."""
    try:
        return ContainerNetwork.of_json(text)
    except ValueError:
        return ContainerNetwork()
