"""Changes of a container's network that meet: none undoes another, and no connection uses what is past."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.egress.tls.secrets import DomainSecret
from agent_kernel.errors import ConnectDenied
from agent_kernel.runtime.containers.containers import LocalContainers
from agent_kernel.runtime.network import inside
from agent_kernel.runtime.network.policy import ContainerNetwork, kept
from agent_kernel.sandboxes.base import Backend
from agent_kernel.store.records import ContainerRow
from agent_kernel.store.rows import Rows
from tests.conftest import BUBBLEWRAP
from tests.runtime.containers.lifecycle import run
from tests.runtime.network.test_egress import Made, made, port

__all__ = ["made", "port"]

Make = Callable[..., LocalContainers]
IN_BUBBLEWRAP = pytest.mark.parametrize("backend", [BUBBLEWRAP], indirect=True)
BOUND = NetworkPolicy.parse(["a.test", "b.test"])
PLACEHOLDERS = "env | grep -o '^[A-Z]*=secret_.*' | sort"


def policy(*domains: str, **secrets: str | None) -> dict[str, Any]:
    """A policy with secrets of a.test, by name. One that is None keeps its value."""
    declared = [
        {"domain": "a.test", "name": name, **({} if value is None else {"value": value})}
        for name, value in secrets.items()
    ]
    return {"type": "allowlist", "allowed_domains": list(domains), "domain_secrets": declared}


@IN_BUBBLEWRAP
async def test_new_value_survives_another_change(make: Make, store: Rows) -> None:
    containers = make(network=BOUND)
    made = await containers.create({"network_policy": policy("a.test", KEY="the-old-value")})
    changes = [policy("a.test", KEY="the-new-value"), policy("a.test", "b.test", KEY=None)]
    await asyncio.gather(*(containers.set_network(made.id, each) for each in changes))
    (container,) = await store.containers()
    (known,) = containers._lifecycle.networks.secrets.known(made.id, kept(container.network).secrets)
    assert known.value == "the-new-value"


@IN_BUBBLEWRAP
async def test_sandbox_has_the_secrets_of_the_newest_change(make: Make, store: Rows) -> None:
    containers = make(network=BOUND)
    made = await containers.create({})
    names = ("FIRST", "SECOND", "THIRD")
    changes = [policy("a.test", **{name: f"value-of-{name}"}) for name in names]
    await asyncio.gather(*(containers.set_network(made.id, each) for each in changes))
    (container,) = await store.containers()
    secrets = containers._lifecycle.networks.secrets.known(made.id, kept(container.network).secrets)
    assert [each.value for each in secrets] == [f"value-of-{each.name}" for each in secrets]
    found = await run(containers, made.id, PLACEHOLDERS)
    assert found.splitlines() == [f"{each.name}={each.placeholder}" for each in secrets]


@IN_BUBBLEWRAP
async def test_answer_does_not_undo_a_change(make: Make, store: Rows) -> None:
    containers = make(network=BOUND)
    asks = {"type": "ask", "allowed_domains": []}
    made = await containers.create({"network_policy": asks})
    networks = containers._lifecycle.networks
    (container,) = await store.containers()
    allow = networks._egress(container)._kept.allow(BOUND.rules[0], "alice")
    await asyncio.gather(containers.set_network(made.id, {"type": "disabled"}), allow)
    assert (await containers.network(made.id)).policy == {"type": "disabled"}


async def test_secrets_of_a_replaced_policy_are_not_used(
    made: Made, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks, read = made.networks, made.store.container
    old, new = (DomainSecret("echo.internal", "KEY", f"secret_{each * 32}") for each in "ab")

    async def keep(secret: DomainSecret) -> None:
        network = ContainerNetwork(made.policy, (80, 443), (secret,))
        await made.store.put_network("cntr_a", network.as_json())

    async def changed_meanwhile(container_id: str) -> ContainerRow | None:
        monkeypatch.setattr(made.store, "container", read)
        found = await read(container_id)
        await keep(new)
        networks.change("cntr_a", made.policy, (new,))
        return found

    used: list[Any] = []
    apply = networks.secrets.apply

    def noted(container_id: str, declared: Any, *rest: Any, **more: Any) -> None:
        used.append(declared)
        apply(container_id, declared, *rest, **more)

    await keep(old)
    await made.egress()
    monkeypatch.setattr(networks.secrets, "apply", noted)
    monkeypatch.setattr(made.store, "container", changed_meanwhile)
    with pytest.raises(ConnectDenied, match="KEY is not known"):
        await networks._known["cntr_a"].connect("echo.internal", port, None)  # type: ignore[arg-type]
    assert used == [(new,), (new,)]


@IN_BUBBLEWRAP
@pytest.mark.parametrize("in_place", [True, False])
async def test_going_back_leaves_the_network_as_it_is(
    make: Make, store: Rows, backend: Backend, monkeypatch: pytest.MonkeyPatch, in_place: bool
) -> None:
    async def new_sandbox(*_: object) -> bool:
        return False

    if not in_place:
        monkeypatch.setattr(backend, "put_back", new_sandbox)
    containers = make(network=BOUND)
    made = await containers.create({"network_policy": policy("a.test", FIRST="value-of-first")})
    snapshot = await containers.snapshot(made.id, automatic=True)
    await containers.set_network(made.id, policy("a.test", SECOND="value-of-second"))
    certificate = f"sha1sum {inside.OWN}"
    before = await run(containers, made.id, f"touch later; {certificate}")
    await containers.restore(made.id, snapshot.id)
    assert await run(containers, made.id, "ls") == ""
    assert "SECOND=secret_" in await run(containers, made.id, PLACEHOLDERS)
    assert await run(containers, made.id, certificate) != before, "it has a certificate authority of its own"
    (row,) = await store.containers()
    assert bool(row.sandbox) is not in_place
