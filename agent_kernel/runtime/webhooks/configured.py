"""The webhooks that the operator has configured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agent_kernel.errors import ConfigurationError, InvalidRequest
from agent_kernel.runtime.webhooks.delivery import Endpoints, HookAddress, Webhooks
from agent_kernel.runtime.webhooks.outbox import Outbox
from agent_kernel.runtime.webhooks.signing import key_of
from agent_kernel.tools.outbound import ANY, AllowedHosts

FOLDER = "webhooks"


def configured(urls: str, secret: str, hosts: str, data: Path, of_keys: str = "") -> Webhooks | None:
    """Return the webhooks; None if no address is set.

    `urls` and `hosts` are lists separated by commas; `urls` are told of the turns of all keys. `of_keys` has
    the addresses of single keys, as an object in JSON. Raises `ConfigurationError` for what cannot be used.
    """
    addresses = _addresses(_listed(urls), secret, None, _ALL)
    for name, entry in _by_key(of_keys).items():
        given = entry.get("urls")
        if not isinstance(given, str) or not _listed(given):
            raise _wrong(f"{name!r} has no urls")
        addresses += _addresses(_listed(given), entry.get("secret"), name, _OF_KEYS)
    if not addresses:
        return None
    try:
        named = AllowedHosts.parse([*_listed(hosts), ANY], param="AGENT_KERNEL_WEBHOOK_HOSTS")
    except InvalidRequest as error:
        raise ConfigurationError(
            f"AGENT_KERNEL_WEBHOOK_HOSTS cannot be used: {error.message}", hint=error.hint
        ) from None
    return Webhooks(Endpoints(addresses, named), Outbox(data / FOLDER))


_ALL = ("AGENT_KERNEL_WEBHOOKS", "AGENT_KERNEL_WEBHOOK_SECRET")
_OF_KEYS = ("AGENT_KERNEL_KEY_WEBHOOKS", "A secret in AGENT_KERNEL_KEY_WEBHOOKS")


def _addresses(
    urls: Sequence[str], secret: object, key: str | None, names: tuple[str, str]
) -> list[HookAddress]:
    if not urls:
        return []
    try:
        signs = key_of(secret if isinstance(secret, str) else "")
    except ValueError as error:
        raise ConfigurationError(
            f"{names[1]} cannot be used: {error}.",
            hint="Make one: echo whsec_$(head -c 32 /dev/urandom | base64 -w0)",
        ) from None
    for url in urls:
        _check(url, names[0])
    return [HookAddress(url, signs, key) for url in urls]


def _by_key(text: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the entries of single keys. Raises `ConfigurationError`, which shows no secret."""
    if not text.strip():
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(each, dict) for each in found.values()):
        raise _wrong("it is not an object of objects in JSON")
    for name, entry in found.items():
        if unknown := sorted(set(entry) - {"urls", "secret"}):
            raise _wrong(f"{name!r} has {unknown[0]!r}; there are urls and secret")
    return found


def _wrong(why: str) -> ConfigurationError:
    example = '{"KEY": {"urls": "https://example.com/hooks", "secret": "whsec_..."}}'
    return ConfigurationError(f"AGENT_KERNEL_KEY_WEBHOOKS cannot be used: {why}.", hint=f"It is {example}.")


def _listed(text: str) -> Sequence[str]:
    return list(dict.fromkeys(each.strip() for each in text.split(",") if each.strip()))


def _check(url: str, name: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError(
            f"{name} has an entry that is not an address.",
            hint="Give addresses such as https://example.com/hooks, separated by commas.",
        )
