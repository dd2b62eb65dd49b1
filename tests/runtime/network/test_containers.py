"""Containers and their network policy: refused, bounded, shown, and kept in the store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.errors import InvalidRequest, NotFound, SandboxStartFailed
from agent_kernel.runtime.containers.containers import LocalContainers
from agent_kernel.runtime.network import inside
from agent_kernel.runtime.network.policy import kept
from agent_kernel.store.rows import Rows

pytestmark = pytest.mark.bubblewrap

Make = Callable[..., LocalContainers]
BOUND = NetworkPolicy.parse(["packages.test", "*.example.org:443"])


def allowlist(*entries: str) -> dict[str, Any]:
    return {"network_policy": {"type": "allowlist", "allowed_domains": list(entries)}}


@pytest.mark.parametrize(
    ("bound", "asked"),
    [
        (NetworkPolicy(), "packages.test"),
        (BOUND, "packages.example"),
        (BOUND, "*.packages.test"),
        (BOUND, "a.example.org"),
        (BOUND, "example.org:443"),
        (BOUND, "tcp://packages.test:443"),
    ],
)
async def test_more_than_the_operator_allows_is_refused(
    make: Make, store: Rows, bound: NetworkPolicy, asked: str
) -> None:
    containers = make(network=bound)
    with pytest.raises(InvalidRequest, match=r"operator's network policy does not allow") as refused:
        await containers.create(allowlist("packages.test", asked) if bound.rules else allowlist(asked))
    assert (refused.value.param or "").startswith("network_policy")
    assert await store.containers() == []


@pytest.mark.on_docker
async def test_container_has_no_network_by_default(make: Make, store: Rows) -> None:
    containers = make(network=BOUND)
    made = await containers.create({})
    off = await containers.create({"network_policy": {"type": "disabled"}})
    for found in (made, off, await containers.retrieve(made.id)):
        assert found.network_policy is not None
        assert found.network_policy.type == "disabled"
        assert found.network_policy.allowed_domains is None
    rows = await store.containers()
    assert [kept(row.network).ports is None for row in rows] == [False, True]
    assert not any(kept(row.network).policy.rules for row in rows)
    with pytest.raises(InvalidRequest, match="created without a network"):
        await containers.set_network(off.id, allowlist("packages.test")["network_policy"])
    with pytest.raises(NotFound):
        await containers.set_network("cntr_none", {"type": "disabled"})
    await containers.set_network(made.id, {"type": "disabled"})
    report = await containers.network(made.id)
    assert report.policy == {"type": "disabled"}
    assert report.operator == await containers.network_bound() == BOUND.to_json()
    assert report.destinations == ()


SECRETS = {
    "network_policy": {
        **allowlist("packages.test")["network_policy"],
        "domain_secrets": [{"domain": "packages.test", "name": "KEY", "value": "canary-value-0123"}],
    }
}


async def test_failed_container_leaves_no_secret(
    make: Make, store: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide, narrow = make(network=BOUND), make(network=NetworkPolicy.parse(["other.test"]))
    with pytest.raises(InvalidRequest, match="operator's network policy"):
        await narrow.create(SECRETS)

    async def broken(*arguments: object) -> None:
        raise SandboxStartFailed("It broke.")

    monkeypatch.setattr(inside, "equip", broken)
    with pytest.raises(SandboxStartFailed):
        await wide.create(SECRETS)
    for containers in (wide, narrow):
        assert "0 containers" in repr(containers._lifecycle.networks.secrets._vault)
    assert await store.containers() == []


def files_below(folder: Path) -> list[bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file() and "toolbox" not in path.parts]
    return [path.read_bytes() for path in paths]


async def test_value_is_in_no_row_and_gone_with_its_container(
    make: Make, store: Rows, tmp_path: Path
) -> None:
    containers = make(network=BOUND)
    made = await containers.create(SECRETS)
    secrets = containers._lifecycle.networks.secrets
    (row,) = await store.containers()
    (declared,) = kept(row.network).secrets
    assert secrets.known(made.id, (declared,))[0].value == "canary-value-0123"
    report = await containers.network(made.id)
    assert report.policy["domain_secrets"] == [{"domain": "packages.test", "name": "KEY"}]
    shown = (made.model_dump_json(), str(report), repr(row), repr(secrets), str(vars(secrets)))
    assert not any("canary" in text for text in shown)
    await containers.delete(made.id)
    assert secrets.known(made.id, (declared,))[0].value is None
    contents = files_below(tmp_path)
    assert contents
    assert not any(b"canary" in content for content in contents)


async def test_secret_of_a_container_deleted_meanwhile_is_forgotten(
    make: Make, store: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    containers = make(network=BOUND)
    made = await containers.create({})
    keep = store.put_network

    async def deleted_first(container_id: str, network: str) -> None:
        await containers.delete(container_id)
        await keep(container_id, network)

    monkeypatch.setattr(store, "put_network", deleted_first)
    with pytest.raises(NotFound):
        await containers.set_network(made.id, SECRETS["network_policy"])
    assert repr(containers._lifecycle.networks.secrets._vault) == "<Vault of 0 containers>"
