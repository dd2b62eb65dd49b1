"""The magic for the hosts that programs in the container may connect to: `%network`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.runtime.network.base import DISABLED, NetworkedContainers, NetworkReport

if TYPE_CHECKING:
    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.outputs import CellOutputs

_Secrets = Sequence[Mapping[str, str]]
"""A policy's `domain_secrets` as a report has them: without values."""

_USAGE = "Use %network allow HOST ..., %network ask, %network off, or %network alone."
_EXAMPLE = "Name hosts or presets, for example: %network allow pip api.example.org."


async def network(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Show the hosts that the container may connect to, allow more, or allow none."""
    words = arguments.split()
    fresh = "--new" in words
    match [word for word in words if word != "--new"]:
        case [] if not fresh:
            await _show(notebook, outputs)
        case ["off"] if not fresh:
            await off(notebook)
            await _confirm(notebook, outputs)
        case ["ask"]:
            await _allow(notebook, outputs, (), fresh=fresh, asks=True)
        case ["allow"]:
            raise InvalidRequest("%network allow names no host.", hint=_EXAMPLE)
        case ["allow", *hosts] if not any(host.startswith("-") for host in hosts):
            await _allow(notebook, outputs, hosts, fresh=fresh)
        case _:
            raise InvalidRequest(f"%network does not know {arguments!r}.", hint=_USAGE)


async def _containers(notebook: Notebook) -> NetworkedContainers:
    containers = (await notebook.runtime()).containers
    if not isinstance(containers, NetworkedContainers):
        raise InvalidRequest("This runtime does not offer %network.")
    return containers


async def report(notebook: Notebook) -> NetworkReport:
    """Return the network of the notebook's container, or of the one that will be created."""
    containers = await _containers(notebook)
    if notebook.container.id is not None:
        return await containers.network(notebook.container.id)
    policy = notebook.container.params.get("network_policy") or DISABLED
    return NetworkReport(policy, await containers.network_bound())


async def _allow(
    notebook: Notebook, outputs: CellOutputs, hosts: Sequence[str], *, fresh: bool, asks: bool = False
) -> None:
    """Add hosts to the policy. It keeps its secrets, and goes on to ask about others, or begins to (`asks`).

    `GET` and the host after it are one entry. A new container (`fresh`) gets no secrets: only the server has
    their values, for the earlier one.
    """
    from agent_kernel.egress.policy import entries_in

    before = (await report(notebook)).policy
    kind = "ask" if asks or before["type"] == "ask" else "allowlist"
    allowed = before.get("allowed_domains") or []
    secrets = before.get("domain_secrets") or []
    policy = {"type": kind, "allowed_domains": list(dict.fromkeys([*allowed, *entries_in(hosts)]))}
    words = ["ask"] if asks else ["allow", *hosts]
    again = f"%network {' '.join(words)} --new"
    gone = secrets if fresh or notebook.container.id is None else ()
    await put(notebook, outputs, policy, secrets, fresh=fresh, again=again)
    await _confirm(notebook, outputs, gone=gone)


async def put(
    notebook: Notebook,
    outputs: CellOutputs,
    policy: Mapping[str, Any],
    secrets: _Secrets = (),
    *,
    fresh: bool = False,
    again: str = "",
) -> None:
    """Give the container this policy, with the secrets that it has. Without one, and if `fresh`, create one.

    A container without a network cannot get one: the error names what does it (`again`). Raises as
    `NetworkedContainers.set_network` and `Containers.create`.
    """
    if notebook.container.id is None or fresh:
        await notebook.container.renew({**notebook.container.params, "network_policy": policy}, outputs)
        return
    asked = {**policy, "domain_secrets": secrets} if secrets else policy
    try:
        await (await _containers(notebook)).set_network(notebook.container.id, asked)
    except InvalidRequest as error:
        if "was created without" not in error.message:
            raise
        raise InvalidRequest(error.message, hint=f"Replace it with an empty one: {again}") from None
    notebook.container.params = {**notebook.container.params, "network_policy": policy}


async def off(notebook: Notebook) -> None:
    """Allow no connections, also for the container that will be created."""
    if notebook.container.id is not None:
        await (await _containers(notebook)).set_network(notebook.container.id, DISABLED)
    notebook.container.params = {**notebook.container.params, "network_policy": DISABLED}


async def _confirm(notebook: Notebook, outputs: CellOutputs, gone: _Secrets = ()) -> None:
    """Say what is allowed now, and which secrets of the earlier container are not in the new one."""
    from agent_kernel.kernel.render.bundles import note

    outputs.emit(note(described((await report(notebook)).policy)))
    if gone:
        outputs.emit(note(f"The secrets of the earlier container are not in the new one: {_named(gone)}."))


async def _show(notebook: Notebook, outputs: CellOutputs) -> None:
    from agent_kernel.kernel.render.bundles import note, table

    found = await report(notebook)
    outputs.emit(note(f"{described(found.policy)} The operator offers: {listed(found.operator)}."))
    if not found.destinations:
        return
    rows = [
        [
            f"{each.name}:{each.port}",
            f"{each.connections} ({each.open} open)" if each.open else str(each.connections),
            f"{each.sent:,}",
            f"{each.received:,}",
            f"{each.refused}: {each.reason}" if each.refused else "",
            each.command,
        ]
        for each in found.destinations
    ]
    header = ["destination", "connections", "bytes sent", "bytes received", "refused", "latest command"]
    outputs.result(table(header, rows).bundle())


def described(policy: Mapping[str, Any]) -> str:
    """Return a network policy as a sentence in Markdown."""
    secrets = policy.get("domain_secrets")
    return f"Allowed: {listed(policy)}." + (f" Secrets: {_named(secrets)}." if secrets else "")


def _named(secrets: _Secrets) -> str:
    return ", ".join(f"`{each['name']}` for `{each['domain']}`" for each in secrets)


def listed(policy: Mapping[str, Any]) -> str:
    """Return the hosts that a policy allows, in Markdown."""
    hosts = [f"`{host}`" for host in policy.get("allowed_domains") or []]
    if policy.get("type") == "ask":
        return ", ".join([*hosts, "others when you are asked"])
    return ", ".join(hosts) or "no network"
