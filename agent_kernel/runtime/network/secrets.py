"""The `domain_secrets` of a network policy: read from requests, and kept in this process's memory only."""

from __future__ import annotations

import importlib.util
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from agent_kernel.egress.names import UnusableName, canonical, shown
from agent_kernel.egress.policy import PARAM, NetworkPolicy
from agent_kernel.egress.tls.secrets import DomainSecret
from agent_kernel.errors import InvalidRequest
from agent_kernel.runtime.network.inside import TAKEN

FIELD = "domain_secrets"
MOST_SECRETS = 32
LEAST_VALUE, MOST_VALUE = 8, 8192
"""Characters of a value. A shorter one would be replaced in responses that only happen to contain it."""

_FIELDS = ("domain", "name", "value")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?", re.ASCII)
_NEEDED = ("h2", "cryptography")
INSTALL = 'pip install "jupyter-agent-kernel[egress]"'


def can_be_read() -> bool:
    """Whether the packages are here with which TLS is read."""
    return all(importlib.util.find_spec(name) for name in _NEEDED)


def lacking(operator: NetworkPolicy) -> str | None:
    """Return what the operator's policy cannot offer because packages are missing; None if there are none."""
    if can_be_read() or not (operator.rules or operator.presets):
        return None
    hosts = ", ".join(f"`{rule}`" for rule in operator.rules if rule.read_only)
    refused = f"{hosts} and domain_secrets are refused" if hosts else "domain_secrets are refused"
    return f"{refused}: the packages that read TLS are not installed"


def read_secrets(
    given: object, policy: NetworkPolicy, where: str, known: Iterable[DomainSecret] = ()
) -> tuple[DomainSecret, ...]:
    """Read the API's `domain_secrets`; `where` is their place in the request.

    `policy` must allow their domains; if it has presets, `check_domains` checks that later. An entry without
    a value keeps that of the same domain and name in `known`, and the placeholder of such a one is kept in
    any case. Raises `InvalidRequest`, which has no value in it.
    """
    if given in (None, [], ()):
        return ()
    if not isinstance(given, list | tuple):
        raise InvalidRequest(f"{where} must be a list.", param=where)
    if not can_be_read():
        raise InvalidRequest(
            "domain_secrets need packages that are missing here.",
            hint="Have the operator install jupyter-agent-kernel[egress].",
            param=where,
        )
    if len(given) > MOST_SECRETS:
        raise InvalidRequest(f"A policy has at most {MOST_SECRETS} domain_secrets.", param=where)
    earlier = {(each.domain, each.name): each for each in known}
    found: dict[str, DomainSecret] = {}
    for index, entry in enumerate(given):
        secret = _read(entry, policy, f"{where}[{index}]", earlier)
        if secret.name in found:
            raise InvalidRequest(f"Two secrets have the name {secret.name}.", param=f"{where}[{index}].name")
        found[secret.name] = secret
    return tuple(found.values())


def _read(
    entry: object,
    policy: NetworkPolicy,
    where: str,
    earlier: Mapping[tuple[str, str], DomainSecret],
) -> DomainSecret:
    if not isinstance(entry, Mapping):
        raise InvalidRequest(f"{where} must be an object with domain, name and value.", param=where)
    if unknown := sorted(str(field) for field in entry if field not in _FIELDS):
        place = f"{where}.{shown(unknown[0])}"
        raise InvalidRequest(f"No such field: {place}.", param=place, code="unknown_parameter")
    domain = _domain(entry.get("domain"), policy, f"{where}.domain")
    name = _name(entry.get("name"), f"{where}.name")
    kept = earlier.get((domain, name))
    placeholder = new_placeholder() if kept is None else kept.placeholder
    if entry.get("value") is None and kept is not None:
        return kept
    return DomainSecret(domain, name, placeholder, _value(entry.get("value"), f"{where}.value"))


def new_placeholder() -> str:
    """Make what stands for a secret inside. It has no characters that any encoding changes."""
    return f"secret_{secrets.token_hex(16)}"


def _domain(given: object, policy: NetworkPolicy, where: str) -> str:
    if not isinstance(given, str):
        raise InvalidRequest(f"{where} must be a host name.", param=where)
    try:
        domain = canonical(given)
    except UnusableName as error:
        raise InvalidRequest(
            f"{where} is malformed: {error}.",
            hint="Write one host name, without a port and without `*.`.",
            param=where,
        ) from None
    if not policy.presets:
        _check_domain(domain, policy, where)
    return domain


def check_domains(found: Iterable[DomainSecret], policy: NetworkPolicy, where: str) -> None:
    """Raise `InvalidRequest` for a secret whose host a policy does not allow. It has no presets any more."""
    for index, each in enumerate(found):
        _check_domain(each.domain, policy, f"{where}[{index}].domain")


def check_readable(policy: NetworkPolicy) -> None:
    """Raise `InvalidRequest` if a policy limits hosts to reading, and their TLS cannot be read here."""
    if policy.reads and not can_be_read():
        rule = next(rule for rule in policy.rules if rule.read_only)
        raise InvalidRequest(
            f"The allowed domain `{rule}` needs packages that are missing here.",
            hint="Have the operator install jupyter-agent-kernel[egress].",
            param=PARAM,
        )


def _check_domain(domain: str, policy: NetworkPolicy, where: str) -> None:
    if not policy.names(domain):
        raise InvalidRequest(
            f"{where}: the policy does not allow {domain}.",
            hint="Add the domain to allowed_domains, or remove its secret.",
            param=where,
        )


def _name(given: object, where: str) -> str:
    if not isinstance(given, str) or not _NAME.fullmatch(given):
        raise InvalidRequest(
            f"{where} must be the name of an environment variable: at most 64 letters, digits and _.",
            param=where,
        )
    if given.upper() in TAKEN or given.upper().startswith("AGENT_KERNEL"):
        raise InvalidRequest(f"{where}: the variable {given} has a meaning in the sandbox.", param=where)
    return given


def _value(given: object, where: str) -> str:
    if (
        not isinstance(given, str)
        or not LEAST_VALUE <= len(given) <= MOST_VALUE
        or not _VALUE.fullmatch(given)
    ):
        raise InvalidRequest(
            f"{where} must be text of {LEAST_VALUE} to {MOST_VALUE} printable ASCII characters,"
            " without spaces at its ends.",
            param=where,
        )
    return given


def declared(found: Iterable[DomainSecret]) -> list[dict[str, str]]:
    """Return secrets as a row keeps them: without values."""
    return [{"domain": each.domain, "name": each.name, "placeholder": each.placeholder} for each in found]


def without_values(found: Iterable[DomainSecret]) -> tuple[DomainSecret, ...]:
    """Return secrets without their values."""
    return tuple(replace(each, value=None) for each in found)


def of_declared(given: Any) -> tuple[DomainSecret, ...]:
    """Read what `declared` returned. Raises `ValueError`, `LookupError`, `TypeError`."""
    found = tuple(DomainSecret(each["domain"], each["name"], each["placeholder"]) for each in given)
    if not all(
        isinstance(part, str) for each in found for part in (each.domain, each.name, each.placeholder)
    ):
        raise ValueError("the secrets are malformed")
    return found


class Vault:
    """The values of secrets, by container. They are in no file, and gone when the process ends."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[str, str]] = {}

    def __repr__(self) -> str:
        return f"<Vault of {len(self._kept)} containers>"

    def put(self, container_id: str, found: Sequence[DomainSecret]) -> None:
        """Keep the values of a container's secrets, in place of all earlier ones."""
        values = {each.placeholder: each.value for each in found if each.value is not None}
        self._kept.pop(container_id, None)
        if values:
            self._kept[container_id] = values

    def filled(self, container_id: str, found: Iterable[DomainSecret]) -> tuple[DomainSecret, ...]:
        """Return a container's secrets with the values that this process knows."""
        values = self._kept.get(container_id, {})
        return tuple(replace(each, value=values.get(each.placeholder)) for each in found)

    def move(self, old: str, new: str) -> None:
        """Keep a container's values under its new id."""
        if (values := self._kept.pop(old, None)) is not None:
            self._kept[new] = values

    def forget(self, container_id: str) -> None:
        """Forget a container's values."""
        self._kept.pop(container_id, None)
