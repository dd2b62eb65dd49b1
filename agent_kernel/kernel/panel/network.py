"""The network settings of the extension: the same policy as `%network` shows and changes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.magics import network as magic
from agent_kernel.kernel.outputs import silent

if TYPE_CHECKING:
    from agent_kernel.kernel.panel.messages import PanelRequest
    from agent_kernel.kernel.panel.source import PanelSource
    from agent_kernel.runtime.network.base import NetworkReport

KINDS = ("disabled", "allowlist", "ask")
MOST_HOSTS = 1000
LONGEST_HOST = 300
AGAIN = "choose a new container below the hosts."


async def read(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Return the policy of the container, and the most that the operator allows."""
    request.only(())
    return _shown(await magic.report(source.notebook))


async def change(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Replace the policy, also while a cell runs; not if that needs another container (`new`)."""
    from agent_kernel.egress.policy import entries_in

    request.only(("type", "hosts", "new"))
    kind, new = request.arguments.get("type"), request.arguments.get("new", False)
    if kind not in KINDS:
        raise InvalidRequest(f"type must be one of {', '.join(KINDS)}.", param="type")
    if not isinstance(new, bool):
        raise InvalidRequest("new must be true or false.", param="new")
    hosts = entries_in(_hosts(request.arguments.get("hosts", [])))
    notebook = source.notebook
    if kind == "disabled":
        await magic.off(notebook)
        return _shown(await magic.report(notebook))
    if kind == "allowlist" and not hosts:
        raise InvalidRequest(
            "Name a host.", hint="For no connections at all, choose no network.", param="hosts"
        )
    async with source.alone() if new or notebook.container.id is None else nullcontext():
        secrets = (await magic.report(notebook)).policy.get("domain_secrets") or []
        policy = {"type": kind, "allowed_domains": list(dict.fromkeys(hosts))}
        kept = [each for each in secrets if each["domain"] in hosts]
        await magic.put(notebook, silent(), policy, kept, fresh=new, again=AGAIN)
    return _shown(await magic.report(notebook))


def _hosts(given: object) -> list[str]:
    if isinstance(given, list) and len(given) <= MOST_HOSTS:
        texts = [each for each in given if isinstance(each, str) and len(each) <= LONGEST_HOST]
        if len(texts) == len(given):
            return [word for each in texts for word in each.split()]
    raise InvalidRequest(f"hosts must be a list of at most {MOST_HOSTS:,} short texts.", param="hosts")


def _shown(report: NetworkReport) -> dict[str, Any]:
    policy = report.policy
    return {
        "type": policy.get("type", "disabled"),
        "hosts": list(policy.get("allowed_domains") or []),
        "in_words": magic.described(policy),
        "operator_in_words": f"The operator offers: {magic.listed(report.operator)}.",
    }
