"""The webhooks that the operator has configured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from agent_kernel.errors import ConfigurationError, InvalidRequest
from agent_kernel.runtime.webhooks.delivery import Endpoints, Webhooks
from agent_kernel.runtime.webhooks.outbox import Outbox
from agent_kernel.runtime.webhooks.signing import key_of
from agent_kernel.tools.outbound import ANY, AllowedHosts

FOLDER = "webhooks"


def configured(urls: str, secret: str, hosts: str, data: Path) -> Webhooks | None:
    """Return the webhooks; None if no URL is set.

    `urls` and `hosts` are lists separated by commas. Raises `ConfigurationError` for what cannot be used.
    """
    wanted = _listed(urls)
    if not wanted:
        return None
    try:
        key = key_of(secret)
    except ValueError as error:
        raise ConfigurationError(
            f"AGENT_KERNEL_WEBHOOK_SECRET cannot be used: {error}.",
            hint="Make one: echo whsec_$(head -c 32 /dev/urandom | base64 -w0)",
        ) from None
    try:
        named = AllowedHosts.parse([*_listed(hosts), ANY], param="AGENT_KERNEL_WEBHOOK_HOSTS")
    except InvalidRequest as error:
        raise ConfigurationError(
            f"AGENT_KERNEL_WEBHOOK_HOSTS cannot be used: {error.message}", hint=error.hint
        ) from None
    for url in wanted:
        _check(url)
    return Webhooks(Endpoints(wanted, key, named), Outbox(data / FOLDER))


def _listed(text: str) -> Sequence[str]:
    return list(dict.fromkeys(each.strip() for each in text.split(",") if each.strip()))


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError(
            "AGENT_KERNEL_WEBHOOKS has an entry that is not an address.",
            hint="Give addresses such as https://example.com/hooks, separated by commas.",
        )
