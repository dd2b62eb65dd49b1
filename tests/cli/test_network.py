"""`agent-kernel containers network`: the policy in the store, and the connections in the audit log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent_kernel.cli import compose, network
from agent_kernel.config import Settings, load
from agent_kernel.egress.limits import NetworkLimits
from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.egress.tls.secrets import DomainSecret
from agent_kernel.errors import ConfigurationError, NotFound
from agent_kernel.runtime.network.policy import ContainerNetwork
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.store.records import ContainerRow
from agent_kernel.store.sqlite.store import sqlite_store

BOUND = "a.example, *.b.example:443, GET c.example"


def settings_in(folder: Path, bound: str = BOUND) -> Settings:
    environ = {"AGENT_KERNEL_DATA_DIR": str(folder), "AGENT_KERNEL_NETWORK": bound}
    return load(environ={**environ, "AGENT_KERNEL_SANDBOX": "bubblewrap"}, folders=[])


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """A data folder with one container, one of its connections, and one of another container."""
    policy = NetworkPolicy.parse(["a.example", "x.b.example:443"])
    row = ContainerRow("cntr_a", "n", "bubblewrap", 1, 1, 20, "running", None)
    store = sqlite_store(tmp_path)
    secret = DomainSecret("a.example", "TOKEN", "secret_of_a", "a-value-of-a-secret")
    kept = ContainerNetwork.new(policy, policy, [secret]).as_json()
    await store.rows.put_container(ContainerRow(**{**vars(row), "network": kept}))
    await store.aclose()
    older = AuditLog(tmp_path / "audit.jsonl.1")
    older.write("connection", container="cntr_a", name="a.example", port=443, address="192.0.2.1", by="alice",
                decision="allowed", sent=1, received=2, response="resp_1", command="curl -s x")  # fmt: skip
    log = AuditLog(tmp_path / "audit.jsonl")
    log.write("command", container="cntr_a", command='echo "connection"')
    log.write("connection", container="cntr_b", name="c.example", port=443, decision="allowed")
    log.write("connection", container="cntr_a", name="d.example", port=80, decision="refused", reason="why")
    log.write("connection", container="cntr_a", name="e.example", port=80, decision="allowed", failure="gone")
    return tmp_path


def test_policy_and_connections_are_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network.run(settings_in(folder), "cntr_a", as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "allowed: a.example, x.b.example:443",
        "the operator allows: a.example, *.b.example:443, GET c.example",
        "secrets: TOKEN for a.example",
    ]
    assert [line.split()[1:] for line in lines[4:]] == [
        ["a.example:443", "192.0.2.1", "allowed", "by", "alice", "1", "2", "resp_1", "curl", "-s", "x"],
        ["d.example:80", "-", "refused:", "why", "0", "0", "-", "-"],
        ["e.example:80", "-", "allowed,", "failed:", "gone", "0", "0", "-", "-"],
    ]
    network.run(settings_in(folder, "a.example"), "cntr_a", as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["operator"] == {"type": "allowlist", "allowed_domains": ["a.example"]}
    secrets = [{"domain": "a.example", "name": "TOKEN"}]
    assert found["policy"] == {**found["operator"], "domain_secrets": secrets}
    assert [each["name"] for each in found["connections"]] == ["a.example", "d.example", "e.example"]


def test_unknown_container_and_wrong_setting_are_explained(folder: Path) -> None:
    with pytest.raises(NotFound, match="There is no container cntr_x"):
        network.run(settings_in(folder), "cntr_x", as_json=False)
    with pytest.raises(ConfigurationError, match="AGENT_KERNEL_NETWORK cannot be used"):
        network.run(settings_in(folder, "a.example, *"), "cntr_a", as_json=False)


def test_limits_come_from_the_settings(folder: Path) -> None:
    settings = settings_in(folder)
    assert compose.network_limits(settings) == NetworkLimits()
    settings.container.network_connections = 3
    settings.container.network_per_minute = 4
    settings.container.network_bytes_out = 5
    settings.container.network_bytes_in = 0
    made = compose.container_settings(settings, lease=1.0)
    assert made.network_options.limits == NetworkLimits(3, 4, 5, None)
